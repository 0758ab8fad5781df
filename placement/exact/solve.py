"""The exact method: a good plan, a bound that holds at any instant, and how far they are apart."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from ...chains.floor import PROOF, cheapest_chains_s, require_chains, summed_s
from ...core.errors import HeuristicFailedError, SolverError, SwarmplanWarning
from ...core.plan import Placement, PlannedRoute
from ...perfmodel.room import exact_bytes, too_large
from ..api import Solution
from ..moves.resilience import require_met
from ..search.solve import after_compiling
from ..task import Task
from .work import Work

#: Seconds for whether an operator's demands can be met at all.
MEETING_S = 2.0


def beyond(task: Task) -> str:
    """Why a swarm is beyond the method; empty where it is not."""
    return too_large(task.cost, exact_bytes(task.cost, len(task.demand)))


def solve_exact(
    task: Task,
    *,
    warm_start: Placement | None = None,
    warm_routes: Sequence[PlannedRoute] = (),
    max_iterations: int | None = None,
) -> Solution:
    """Place blocks and route a set of concurrent sessions at proven least total step time.

    In turn, until plan and bound meet within the task's gap (docs/exact.md): the order-free
    knapsack bound and a large-neighbourhood search; bag column generation; restarts near its
    levels; branching on how many blocks servers host; the interval-flow programme on what reduced
    costs leave; search again.

    Parameters
    ----------
    task : its demand has at most one entry a client.
    warm_start : a placement to begin with.
    warm_routes : routes on it; if both serve the demand, no dearer plan is returned.
    max_iterations : limit of pricing rounds, for results that do not depend on the clock.

    Returns
    -------
    The objective is recomputed with the shared cost model; the bound holds whenever the work
    stopped; the status is ``optimal`` only when they are within the gap; the certificate says what
    gave the bound. Under server relay the bound prices the cheapest leg into every server, where
    blocks differ the cheapest run of so many, and stays below the optimum in general. After Ctrl-C
    the best plan so far comes back, marked as interrupted.

    Raises
    ------
    InfeasibleError
        When it is proven that no plan exists.
    NoSolutionInTimeError
        When the limit passes without a plan; it carries the bound.
    HeuristicFailedError
        When the swarm is ``beyond`` the method.
    SolverError
        When HiGHS fails before there is a plan; later the best plan so far comes back, with a
        warning.
    """
    if why := beyond(task):
        raise HeuristicFailedError(f"exact: {why}")
    require_met(task.cost, limit_s=min(MEETING_S, 0.2 * task.deadline.left_s()))
    alone = cheapest_chains_s(task.cost, task.demand)
    require_chains(task.cost, task.demand, alone)
    task = after_compiling(task)
    work = Work(task=task, max_iterations=max_iterations)
    work.standing.raise_bound(summed_s(task.demand, alone), PROOF)
    try:
        work.run(warm_start, warm_routes)
    except KeyboardInterrupt:
        work.standing.interrupted = True
    except SolverError as error:
        if work.standing.incumbent.plan is None:
            raise
        told = f"exact: {error}: the plan and the bound are those of before"
        warnings.warn(told, SwarmplanWarning, stacklevel=2)
    return work.standing.solution()
