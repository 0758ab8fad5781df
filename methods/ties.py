"""Candidates that did equally well in a race: who stands more load comes first.

Where little comes, many placements serve every request alike, and so do most routers. Which of
them was made first says nothing; how they do when more comes than is expected does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..perfmodel.cost import CostModel
from ..placement.task import Task
from ..workload.load import at_load
from .draft import Settings
from .judge import Judge, judge_for
from .race import Runner

#: Figures this near, relative, are equal.
EQUAL = 1e-9
#: Loads that tell equal ones apart, in multiples of the expected one, and requests of each.
LOADS, REQUESTS = (1.3, 1.7, 2.2), 400
#: Of equal ones so many are looked at.
MOST = 6
#: Offset of the seeds of these requests.
SEED = 5_432_109


def untied(task: Task, settings: Settings, ranked: Sequence[Runner]) -> list[Runner]:
    """The runners of a race, best first, where those that are equal to the first one are told apart
    by more load."""
    first = ranked[0]
    equal = [r for r in ranked if _equal(r, first)][:MOST]
    if len(equal) < 2 or not task.problem.workload.rate_per_s > 0:
        return list(ranked)
    judges = judges_of(task, settings)
    best = min(equal, key=lambda r: (score(r, judges), r.bound_s, r.name, r.router))
    return [best, *(r for r in ranked if r is not best)]


def _equal(runner: Runner, first: Runner) -> bool:
    """Whether two did equally well over the same requests; plans that others made stay apart."""
    alike = (runner.requests, runner.unserved, runner.given)
    if alike != (first.requests, first.unserved, first.given) or not first.served:
        return False
    return math.isclose(runner.figure_s, first.figure_s, rel_tol=EQUAL)


def judges_of(task: Task, settings: Settings) -> list[Judge]:
    """Judges at each of the loads."""
    loaded = [replace(task, cost=CostModel.of(at_load(task.problem, load))) for load in LOADS]
    return [judge_for(more, settings, SEED, 0, REQUESTS) for more in loaded]


def score(runner: Runner, judges: Sequence[Judge]) -> tuple[float, ...]:
    """Requests left unserved and the figure at each load, the least first."""
    found: list[float] = []
    for judge in judges:
        judged = judge(runner.placement, runner.router)
        found += [float(judged.unserved), judged.figure_s]
    return tuple(math.inf if math.isnan(f) else f for f in found)
