"""The placements that lead with every router: what decides about chains is chosen last.

The race compares placements with the router that suits them and is fast to simulate. Which router
is best on the best of them is told here: all that fit the scenario run on the same requests as in
the race, first on few, those that lead on more and more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..core.problem import Problem
from ..placement.task import Task
from ..solve.deadline import Deadline
from .draft import Settings
from .judge import REHEARSED, Judge
from .pairs import Pair, compiled_s, request_s
from .race import Runner, behind
from .routers import racing_routers
from .runoff import Runoff

#: Placements that are tried with all routers, the best of the race first; so many more, and those
#: that are tried again, with those that take too long for the race itself, if they may win on the
#: first.
LEADERS, MORE, SLOW = 2, 2, ("joint",)
#: Routers that look at the chains of one request alone: where others wait they ask again and again,
#: which takes as long as all the rest, so they have the last turn.
ALONE = ("ws-rr", "least-response", "shortest", "petals")
#: Pairs that the race let go are tried again up to this figure, in multiples of the best one.
AGAIN = 1.2


def routed(
    task: Task,
    settings: Settings,
    ranked: Sequence[Runner],
    end: Deadline,
    raced: Callable[[int], Judge],
) -> tuple[list[Runner], list[str]]:
    """The runners of a race, best first, with what other routers make of the first placements; and
    what cut that short.

    Another pair comes first where it did best in the last round that there was time for, by more
    than is likely to be chance.

    Parameters
    ----------
    end : when it has to be over on a machine that is slower.
    raced : judges by so many requests of the race.
    """
    first = ranked[0]
    if settings.router is not None or not first.served:
        return list(ranked), []
    runoff = Runoff(task, end, raced)
    if runoff.most < runoff.first:
        return list(ranked), []
    pairs = paired(task.problem, ranked, raced(runoff.first))
    known, cut = runoff.run(pairs)
    made = [p for p in pairs[1:] if p.runner.requests]
    last = [p for p in made if p.runner.requests == known.runner.requests]
    best = min(last, key=lambda p: p.runner.order(), default=known)
    said = [f"auto: {len(made)} further pairs of placement and router tried"] if made else []
    said += cut
    if best is not known and runoff.sure(best, known):
        known.runner.verdict = behind(known.runner, best.runner)
        rest = [known.runner, *ranked[1:], *(p.runner for p in made if p is not best)]
        return [best.runner, *rest], said
    return [*ranked, *(p.runner for p in made)], said


def paired(problem: Problem, ranked: Sequence[Runner], judge: Judge) -> list[Pair]:
    """The winner of the race, then what has not been raced: the placements that lead with every
    router that fits."""
    leaders: list[Runner] = []
    for runner in ranked:
        able = runner.served and runner.unserved <= ranked[0].unserved
        if able and not any(runner.placement == seen.placement for seen in leaders):
            leaders.append(runner)
    first, found = ranked[0], list[Pair]()
    routers = sorted(racing_routers(problem), key=lambda r: (r in ALONE, r in SLOW))
    slow = [router for router in SLOW if router in routers]
    tried = leaders[: LEADERS + MORE]
    for place, leader in enumerate(tried):
        own_s = compiled_s(judge, leader.placement)
        if leader is first:
            found.append(Pair(replace(first), request_s(first.router, own_s)))
        known = {r.router for r in ranked if r.placement == leader.placement and r.served}
        asked = [router for router in (routers if place < LEADERS else slow) if router not in known]
        found += [_anew(replace(leader, router=router), own_s) for router in asked]
    for runner in _again(ranked):
        own_s = compiled_s(judge, runner.placement)
        found.append(_anew(runner, own_s, raced=True))
        if not any(runner.placement == seen.placement for seen in tried):
            found += [_anew(replace(runner, router=router), own_s) for router in slow]
            tried.append(runner)
    return found


def _again(ranked: Sequence[Runner]) -> list[Runner]:
    """What the race let go before its end, with another router than most, and not far behind: few
    requests tell little of how it does when others have piled up."""
    most, best_s = ranked[0].requests, min(r.figure_s for r in ranked if r.served)
    early = [r for r in ranked if r.served and r.requests < most and not (r.given or r.unserved)]
    near = [r for r in early if r.router != REHEARSED[0] and r.figure_s <= AGAIN * best_s]
    return sorted(near, key=lambda r: r.figure_s)[:MORE]


def _anew(runner: Runner, own_s: float, *, raced: bool = False) -> Pair:
    """A pair that has not run in the runoff."""
    fresh = replace(runner, figure_s=math.inf, requests=0)
    return Pair(fresh, request_s(runner.router, own_s), raced=raced)
