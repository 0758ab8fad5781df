"""Re-planning with targets from the methods, and its result as a document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.errors import HeuristicFailedError, NoSolutionInTimeError
from ..core.objective import MEAN_RESPONSE
from ..core.plan import Placement
from ..core.problem import Problem
from ..core.version import TOOL
from ..perfmodel.cost import CostModel
from ..placement.moves.replan import Option, Replan, Terms, replan
from ..placement.task import Task
from ..routing.alternatives import first_tokens_s
from ..scenarios.migrationfile import MIGRATION_FORMAT
from ..scenarios.scenario import Scenario
from ..simulator.metrics import Interval
from ..workload.draw import draw_requests
from .candidates import entries
from .draft import Draft, Settings
from .judge import Judge
from .routers import router_names
from .table import Method, method_named

#: So many of auto's candidates, by their bounds, are directions for the search.
TARGETS = 4
#: Of the time limit, how much they may take; other methods take what they take.
TARGETS_SHARE = 0.35
#: Fresh draws on which moves have to show their gain, and requests of each.
ROUNDS, REQUESTS = 8, 400
#: Apart from the draws that plans are chosen and judged by.
SEED_OFFSET = 9_876_543


def replanned(
    problem: Problem,
    current: Placement,
    method: str,
    *,
    settings: Settings,
    terms: Terms,
    router: str | None = None,
) -> Replan:
    """Whether, where and how to move; targets are plans that ``method`` makes today.

    ``auto`` gives its best candidates by closed-form bounds, without simulating them.

    Servers keep the precisions and adapters of the plan in force, one that is new has its first
    one and none: a change would load all of its blocks again for a gain that the budget of moves
    does not know.

    Parameters
    ----------
    router : of the plan in force: moves have to show their gain in simulation with it too, as plans
        do that ``auto`` makes; None = the closed form decides alone.

    Raises
    ------
    ScenarioError
        For an unknown method.
    HeuristicFailedError
        If the plan in force cannot stay and no plan within the budget mends it.
    """
    chosen, hosted = method_named(method), current.settled(problem)
    task = chosen.task(hosted.fixed, settings)
    found = replan(task, current, targets=_targets(task, chosen, settings), terms=terms)
    if router in router_names():
        found = confirmed(task, found, settings, router)
    cost = CostModel.of(hosted)
    open_to = cost.precisions or cost.chosen_wires or cost.loaded
    return _told(found, cost) if open_to else found


def _told(found: Replan, cost: CostModel) -> Replan:
    """The decision where placements say how servers host, and what they load."""
    at, wire, loaded = cost.precisions, cost.chosen_wires, cost.loaded
    told = {
        id(o): replace(o, placement=replace(o.placement, precision=at, wire=wire, adapters=loaded))
        for o in (found.before, *found.options, found.chosen, found.best)
    }
    return replace(
        found,
        before=told[id(found.before)],
        options=tuple(told[id(o)] for o in found.options),
        chosen=told[id(found.chosen)],
        best=told[id(found.best)],
    )


def confirmed(task: Task, found: Replan, settings: Settings, router: str) -> Replan:
    """The decision, or to stay where fresh requests see no gain in the moves.

    Where the plan in force is overloaded or broken there is nothing to compare.
    """
    before, chosen = found.before, found.chosen
    if found.forced or not found.worth or before.rate_per_s < task.problem.workload.rate_per_s:
        return found
    pairs = []
    for number in range(ROUNDS):
        seed = SEED_OFFSET + settings.seed + number
        requests = draw_requests(task.problem, seed, num_requests=REQUESTS)
        judge = Judge(task.cost, requests, admission=settings.admission, goal=MEAN_RESPONSE)
        pairs.append([judge(option.placement, router) for option in (before, chosen)])
    gain = Interval.of([old.figure_s - new.figure_s for old, new in pairs])
    fewer = sum(old.unserved for old, _ in pairs) - sum(new.unserved for _, new in pairs)
    if fewer > 0 or (fewer == 0 and gain.mean - np.nan_to_num(gain.half_width) > 0):
        return found
    means = [float(np.mean([pair[i].figure_s for pair in pairs])) for i in (0, 1)]
    reason = (
        f"refused: {chosen.moves} moves would pay by the closed form, but {ROUNDS} x {REQUESTS} "
        f"simulated requests take {means[0]:.4g} s in the plan in force and {means[1]:.4g} s after "
        "them: no gain that is sure"
    )
    return replace(found, chosen=before, worth=False, reasons=(reason,))


def _targets(task: Task, method: Method, settings: Settings) -> Sequence[Placement]:
    """Plans made today; none when the method finds none: the search goes on without."""
    try:
        if method.name == "auto":
            early = replace(task, deadline=task.deadline.share(TARGETS_SHARE))
            return [e.plan.placement for e in entries(early)[:TARGETS]]
        return [method.decide(task, settings).placement]
    except (HeuristicFailedError, NoSolutionInTimeError):
        return []


def kept(placement: Placement, router: str, *, name: str = "replan") -> Method:
    """A method that decides for a given placement: it turns the decision into a whole plan."""

    def make(task: Task, settings: Settings) -> Draft:
        return Draft(placement=placement, router=router)

    note = "a placement that was decided for before"
    return Method(name=name, make=make, note=note, given=placement)


def migration_document(
    decision: Replan,
    scenario: Scenario,
    terms: Terms,
    *,
    gone: Sequence[str] = (),
    new: Sequence[str] = (),
) -> dict[str, Any]:
    """The content of a migration file."""
    names = [s.id for s in scenario.problem.servers]
    way, placement = decision.chosen.migration, decision.chosen.placement
    first = first_tokens_s(CostModel.of(placement.settled(scenario.problem)), placement)
    return {
        "format": MIGRATION_FORMAT,
        "scenario": scenario.document.name,
        "scenario_sha256": scenario.sha256,
        "tool": TOOL,
        "move": decision.worth,
        "forced": decision.forced,
        "horizon_s": decision.horizon_s,
        "break_even_s": _finite(decision.break_even_s),
        "reload": terms.reload.what,
        "restart_s": terms.reload.restart_s,
        "replay": terms.replay,
        "steps": [
            {
                "server": names[s.server],
                "old_start": s.old[0],
                "old_end": s.old[1],
                "new_start": s.new[0],
                "new_end": s.new[1],
                "begin_s": s.begin_s,
                "end_s": s.end_s,
                "first_token_s": _finite(s.end_s + first.get(s.server, math.inf)),
            }
            for s in way.steps
        ],
        "dark": [
            {"blocks": list(d.blocks), "begin_s": d.begin_s, "end_s": d.end_s} for d in way.dark
        ],
        "dark_proven": way.proven,
        "plans_proven": decision.proven,
        "options": [_option(o, decision, scenario.problem) for o in decision.options],
        "reasons": list(decision.reasons),
        "gone_servers": list(gone),
        "new_servers": list(new),
    }


def _option(option: Option, decision: Replan, problem: Problem) -> dict[str, Any]:
    rate = problem.workload.rate_per_s
    served = option.rate_per_s >= rate  # else requests pile up: an overload has no response
    return {
        "moves": option.moves,
        "response_s": option.requests / rate if served and rate else None,
        "sustained_per_s": option.rate_per_s,
        "gain_request_s": _finite(option.gain),
        "cost_request_s": _finite(option.cost),
        "net_request_s": _finite(option.net),
        "lost_sessions": option.lost_sessions,
        "duration_s": option.migration.duration_s,
        "dark_s": option.migration.dark_s,
        "verdict": _verdict(option, decision),
    }


def _verdict(option: Option, decision: Replan) -> str:
    if option is decision.chosen:
        return "chosen" if decision.worth else "kept"
    if not option.sound:
        return f"{option.dark_blocks} blocks dark, {option.violations} demands unmet"
    if option.moves and option.net <= 0:
        return "does not repay its cost"
    return "less is left of its gain" if option.moves else "staying costs more"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
