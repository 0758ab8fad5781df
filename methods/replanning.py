"""Re-planning with targets from the methods, and its result as a document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..core.errors import HeuristicFailedError, NoSolutionInTimeError
from ..core.plan import Placement
from ..core.problem import Problem
from ..core.version import TOOL
from ..placement.moves.replan import Option, Replan, Terms, replan
from ..placement.task import Task
from ..scenarios.migrationfile import MIGRATION_FORMAT
from ..scenarios.scenario import Scenario
from .candidates import entries
from .draft import Draft, Settings
from .table import Method, method_named

#: So many of auto's candidates, by their bounds, are directions for the search.
TARGETS = 4
#: Of the time limit, how much they may take; other methods take what they take.
TARGETS_SHARE = 0.35


def replanned(
    problem: Problem, current: Placement, method: str, *, settings: Settings, terms: Terms
) -> Replan:
    """Whether, where and how to move; targets are plans that ``method`` makes today.

    ``auto`` gives its best candidates by closed-form bounds, without simulating them.

    Raises
    ------
    ScenarioError
        For an unknown method.
    HeuristicFailedError
        If the plan in force cannot stay and no plan within the budget mends it.
    """
    chosen = method_named(method)
    task = chosen.task(problem, settings)
    return replan(task, current, targets=_targets(task, chosen, settings), terms=terms)


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

    return Method(name=name, make=make, note="a placement that was decided for before")


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
    way = decision.chosen.migration
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
    served = option.rate_per_s > 0
    return {
        "moves": option.moves,
        "response_s": option.requests / min(rate, option.rate_per_s) if served and rate else None,
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
