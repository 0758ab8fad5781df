"""The leaders of a race made better by a search, where fresh requests agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from ..core.plan import Placement
from ..perfmodel.cost import CostModel
from ..placement.task import Task
from ..solve.deadline import Deadline
from ..workload.load import at_load
from .draft import Settings
from .guard import holds, is_faster
from .judge import REHEARSED, Judge, judge_for, requests_needed
from .race import Runner

#: Seeds of requests that moves are tried on, and of those that have to agree.
TRIED, AGREEING = 8_765_432, 9_876_543
#: Work of a search, in seconds of a quiet machine, as a share of the time limit: with that on known
#: plans it is done before the clock ends it, so that no plan depends on who else computes.
WORK_SHARE = 0.4
#: A move takes about so long on a quiet machine; with fewer of them for each server nothing is
#: found that holds (docs/auto.md).
MOVE_S, SERVER_MOVES = 0.036, 20


def affords_moves(task: Task) -> bool:
    """Whether there is work for enough moves of a search on the truth."""
    move_s = MOVE_S * requests_needed(task.cost)
    return WORK_SHARE * task.deadline.limit_s >= SERVER_MOVES * move_s * task.problem.num_servers


def improved(
    task: Task,
    settings: Settings,
    ranked: Sequence[Runner],
    end: Deadline,
    raced: Callable[[int], Judge],
) -> tuple[list[Runner], list[str]]:
    """The runners of a race, best first, with what came of its leaders; and what was tried.

    Plans that others made and the rest are improved apart; the better of both comes first. Where
    sessions wait for each other the simulator is needed to tell, and a trace has no fresh requests.

    Parameters
    ----------
    ranked : the runners, best first.
    raced : judges by so many requests of the race.
    """
    router, admission = REHEARSED
    leaders = [r for r in ranked if r.router == router and r.served and not r.unserved]
    asked = task.cost.serial.any() and admission == settings.admission and affords_moves(task)
    if ranked[0].unserved or not (leaders and asked) or task.problem.workload.trace:
        return list(ranked), []
    searched = _searched(task, settings, leaders, end)
    if searched is None:
        return list(ranked), []
    found, judged = searched
    more, judge_of = requests_needed(task.cost), partial(judge_for, task, settings, AGREEING)
    made, finals = [], []
    for given in (False, True):
        best = next((r for r in ranked if r.given is given and r.served), None)
        new = found.get(given)
        if best and new and holds((new, router), best.pair, judge_of=judge_of, more=more):
            figure = raced(ranked[0].requests)(new, router)
            best = replace(best, name="improved", placement=new, router=router)
            best.figure_s, best.unserved = figure.figure_s, figure.unserved
            best.requests = ranked[0].requests
            made.append(best)
        finals += [best] if best else []
    first = min(finals, key=Runner.order)
    if len({r.unserved for r in finals}) < len(finals):  # the race alone is not to decide
        own, known = finals
        faster = is_faster(own.pair, known.pair, judge_of=judge_of, more=more)
        first = own if faster else known
    rest = [r for r in (*made, *ranked) if r is not first]
    return [first, *rest], [f"auto: {judged} moves tried{_said(found, made)}"]


def _searched(
    task: Task, settings: Settings, leaders: Sequence[Runner], end: Deadline
) -> tuple[Mapping[bool, Placement | None], int] | None:
    """What the search made of own and of given leaders, and how many moves it tried; None where
    runs cannot be rehearsed."""
    from .improve import LOADS, Improver  # numba takes a while to load

    more = requests_needed(task.cost)
    sets = [
        judge_for(_at_load(task, load), settings, TRIED, number, more * count).rehearsal
        for number, (load, count) in enumerate(LOADS)
    ]
    tried = [s for s in sets if s is not None]
    if len(tried) < len(sets):
        return None
    improver = Improver(
        task.cost,
        tried,
        goal=task.goal,
        work_s=WORK_SHARE * task.deadline.limit_s,
        deadline=end,
        seed=task.seed,
    )
    kinds = [g for g in (False, True) if any(r.given is g for r in leaders)]
    found = improver(*([r.placement for r in leaders if r.given is g] for g in kinds))
    return dict(zip(kinds, (found.own, found.known), strict=False)), found.judged


def _said(found: Mapping[bool, Placement | None], made: Sequence[Runner]) -> str:
    if made:
        return ""
    if any(found.values()):
        return ": what they gained did not hold for fresh requests"
    return ": none made it better"


def _at_load(task: Task, factor: float) -> Task:
    return replace(task, cost=CostModel.of(at_load(task.problem, factor)))
