"""The placements that lead with every router: what decides about chains is chosen last.

The race compares placements with the router that suits them and is fast to simulate. Which router
is best on the best of them is told here: all that fit the scenario run on the same requests as in
the race, first on few, those that lead on more and more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..core.content import FloatArray
from ..core.errors import ScenarioError
from ..core.objective import Goal
from ..core.plan import Placement
from ..core.problem import Problem
from ..placement.task import Task
from ..simulator.metrics import WARM_UP, Interval
from ..solve.deadline import Deadline
from .draft import Settings
from .hurried import GivenUpError, Patience
from .judge import REHEARSED, Judge, figure_of, judged, requests_needed
from .race import Runner, behind
from .routers import ROUTERS, fits

#: Placements that are tried with all routers, the best of the race first.
LEADERS = 2
#: Requests of each round, unlike those of the race, pairs that run in it, and how much worse than
#: the best one a pair is out afterwards.
ROUNDS = ((200, 99, 0.1), (600, 6, 0.05), (1_800, 3, 0.03), (5_000, 2, 0.01))
#: Work for it, in seconds of a quiet machine: a share of the time limit, or without one so much.
WORK_SHARE, UNLIMITED_S = 0.2, 6.0
#: What a request takes to simulate: seconds, and so many times as long as in a compiled run, which
#: takes about ``COMPILED_S`` where it is not known.
COSTS, USUAL_COST, COMPILED_S = {REHEARSED[0]: (0.0, 1.0), "joint": (2e-3, 20.0)}, (3e-4, 3.0), 1e-4
#: A run is given up in which so many decisions are asked for, of each request on average: then they
#: pile up.
MOST_DECISIONS = 20
#: Blocks of requests, one after the other, that tell how sure a gain is; so many half-widths of its
#: 95 % interval it has to be where only the first round tells, and later.
BLOCKS, SURE_AT_FIRST, SURE = 10, 1.0, 0.5
#: A pair goes on only as long as it may gain so much.
WORTH = 0.005


#: Requests, pairs that run, and how much worse than the best of them a pair is out.
Round = tuple[int, int, float]


@dataclass(slots=True, eq=False)
class _Pair:
    """A runner, and how it does in the rounds (mutable: their record).

    Attributes
    ----------
    request_s : what a request takes to simulate on a quiet machine, about.
    response_s : of the requests of its last round.
    """

    runner: Runner
    request_s: float
    response_s: FloatArray = field(default_factory=lambda: np.zeros(0))


def racing_routers(problem: Problem) -> tuple[str, ...]:
    """The built-in routers for which a scenario has all that they need."""
    return tuple(name for name in ROUTERS if _fitting(name, problem))


def _fitting(name: str, problem: Problem) -> bool:
    try:
        fits(name, problem)
    except ScenarioError:
        return False
    return True


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
    more, trace = requests_needed(task.cost), len(task.problem.workload.trace)
    rounds = [r for r in ROUNDS if not trace or r[0] <= trace]
    if not rounds:
        return list(ranked), []
    rounds = [(count if trace else more * count, stay, slack) for count, stay, slack in rounds]
    runoff = _Runoff(task, end, raced)
    pairs = runoff.pairs(ranked, raced(rounds[0][0]))
    known, cut = runoff.run(pairs, rounds)
    made = [p for p in pairs[1:] if p.runner.requests]
    last = [p for p in made if p.runner.requests == known.runner.requests]
    best = min(last, key=lambda p: p.runner.order(), default=known)
    said = [f"auto: {len(made)} further pairs of placement and router tried"] if made else []
    said += cut
    sure = SURE_AT_FIRST if known.runner.requests == rounds[0][0] else SURE
    if best is not known and _surely(best, known, task.goal, sure):
        known.runner.verdict = behind(known.runner, best.runner)
        rest = [known.runner, *ranked[1:], *(p.runner for p in made if p is not best)]
        return [best.runner, *rest], said
    return [*ranked, *(p.runner for p in made)], said


class _Runoff:
    """Rounds of ever more requests, as many whole ones as work and clock allow."""

    def __init__(self, task: Task, end: Deadline, raced: Callable[[int], Judge]) -> None:
        self._problem, self._goal, self._end, self._raced = task.problem, task.goal, end, raced
        limit_s = task.deadline.limit_s
        self._work_s = UNLIMITED_S if math.isinf(limit_s) else WORK_SHARE * limit_s
        self._slower = 1.0
        self._cut = False

    def pairs(self, ranked: Sequence[Runner], judge: Judge) -> list[_Pair]:
        """The winner of the race, then what has not been raced: the placements that lead with every
        router that fits."""
        leaders: list[Runner] = []
        for runner in ranked:
            able = runner.served and runner.unserved <= ranked[0].unserved
            if able and not any(runner.placement == seen.placement for seen in leaders):
                leaders.append(runner)
        first, found = ranked[0], list[_Pair]()
        routers = racing_routers(self._problem)
        for leader in leaders[:LEADERS]:
            compiled_s = _compiled_s(judge, leader.placement)
            if leader is first:
                found.append(_Pair(replace(first), _request_s(first.router, compiled_s)))
            known = {r.router for r in ranked if r.placement == leader.placement and r.served}
            for router in routers:
                if router not in known:
                    fresh = replace(leader, router=router, figure_s=math.inf, requests=0)
                    found.append(_Pair(fresh, _request_s(router, compiled_s)))
        return found

    def run(self, pairs: Sequence[_Pair], rounds: Sequence[Round]) -> tuple[_Pair, list[str]]:
        """The winner of the race as it did in the last whole round, and what cut rounds short.

        All others have run as long as they led; the second placement only with routers
        that may win on the first.
        """
        known, begun = pairs[0], rounds[0]
        own = [p for p in pairs[1:] if p.runner.placement is known.runner.placement]
        standing = self._next(known, own, begun)
        hopeful = {p.runner.router for p in standing}
        others = [p for p in pairs[1:] if p not in own and p.runner.router in hopeful]
        standing += self._next(known, others, begun)
        for count, stay, slack in rounds[1:]:
            standing = sorted(standing, key=lambda p: p.runner.order())[:stay]
            standing = self._next(known, standing, (count, stay, slack), whole=True)
        cut = ["auto: time limit: not every router had its full run"] if self._cut else []
        return known, cut

    def _next(
        self, known: _Pair, standing: Sequence[_Pair], asked: Round, *, whole: bool = False
    ) -> list[_Pair]:
        """Those that go on after a round; none where it is the last one there is time for."""
        count = asked[0]
        standing = self._affordable(known, standing, count, whole=whole)
        ran = self._ran([known, *standing], count, whole=whole) if standing else []
        self._cut = self._cut or len(ran) <= len(standing) > 0
        standing = list(ran[1:])
        for pair in standing:
            pair.runner.verdict = _verdict(pair.runner, known.runner)
        near = [p for p in standing if self._near(p, [known, *standing], asked)]
        return [p for p in near if self._may_win(p, known)]

    @staticmethod
    def _near(pair: _Pair, beside: Sequence[_Pair], asked: Round) -> bool:
        """Whether a pair is not far behind the best of some in the same round."""
        unserved, best_s = min(p.runner.order() for p in beside)
        return pair.runner.order() <= (unserved, best_s * (1.0 + asked[2]))

    def _may_win(self, pair: _Pair, known: _Pair) -> bool:
        """Whether more requests could show that a pair is better by as much as is worth while."""
        if pair.runner.unserved != known.runner.unserved:
            return pair.runner.unserved < known.runner.unserved
        gain = _gain(pair, known, self._goal)
        return gain.mean + gain.half_width > WORTH

    def _affordable(
        self, known: _Pair, standing: Sequence[_Pair], count: int, *, whole: bool
    ) -> list[_Pair]:
        """Those, the best first, for whose next round there is time.

        Later on nobody goes on without those who lead: what counts is the last round of these.
        """
        left_s = min(self._work_s, max(self._end.left_s(), 0.0) / self._slower)
        left_s -= known.request_s * count
        kept: list[_Pair] = []
        for pair in standing:
            need_s = pair.request_s * count
            if need_s <= left_s:
                kept.append(pair)
                left_s -= need_s
            elif whole:
                break
        return kept

    def _ran(self, pairs: Sequence[_Pair], count: int, *, whole: bool) -> Sequence[_Pair]:
        """Those for whose run there was time; of a ``whole`` round all or none."""
        judge, found = self._raced(count), list[FloatArray]()
        begun = time.monotonic()
        for pair in pairs:  # the first one has been raced: it is what others are measured by
            most = MOST_DECISIONS * count if found else math.inf
            patience = Patience(most, self._end)
            try:
                if self._end.passed:
                    break
                found.append(judge.response_s(*pair.runner.pair, patience))
            except GivenUpError:
                if self._end.passed:
                    break
                found.append(np.full(count, np.nan))
        ran = () if whole and len(found) < len(pairs) else pairs[: len(found)]
        work_s = sum(p.request_s for p in ran) * count
        self._work_s -= work_s
        self._slower = max(1.0, (time.monotonic() - begun) / max(work_s, 1e-9))
        for pair, response_s in zip(ran, found, strict=False):
            figure = judged(response_s, self._goal)
            nothing = math.isnan(figure.figure_s)
            pair.response_s, pair.runner.requests = response_s, count
            pair.runner.figure_s = math.inf if nothing else figure.figure_s
            pair.runner.unserved = figure.unserved
        return ran


def _compiled_s(judge: Judge, placement: Placement) -> float:
    """What a request takes in a compiled run on a quiet machine, about: known without a clock."""
    rehearsal = judge.rehearsal
    return COMPILED_S if rehearsal is None else rehearsal(placement).effort_s / rehearsal.count


def _request_s(router: str, compiled_s: float) -> float:
    """The same with any router."""
    fixed_s, times = COSTS.get(router, USUAL_COST)
    return fixed_s + times * compiled_s


def _verdict(runner: Runner, known: Runner) -> str:
    """What is said of a pair that does not come first."""
    if not runner.served:
        return f"requests pile up, of {runner.requests}"
    if runner.order() < known.order():
        return f"not surely faster over {runner.requests} requests"
    return behind(runner, known)


def _surely(new: _Pair, old: _Pair, goal: Goal, sure: float) -> bool:
    """Whether a pair did better than another one on the same requests, likely not by chance: by so
    many half-widths of the interval."""
    if new.runner.unserved != old.runner.unserved:
        return new.runner.unserved < old.runner.unserved
    gain = _gain(new, old, goal)
    return new.runner.figure_s < old.runner.figure_s and gain.mean > sure * gain.half_width


def _gain(new: _Pair, old: _Pair, goal: Goal) -> Interval:
    """By which share a pair's figure is lower, over blocks of the requests of the last round."""
    ours, theirs = (
        np.array_split(p.response_s[int(len(p.response_s) * WARM_UP) :], BLOCKS) for p in (new, old)
    )
    gains = [
        1.0 - figure_of(n, goal) / figure_of(o, goal) for n, o in zip(ours, theirs, strict=True)
    ]
    return Interval.of(gains)
