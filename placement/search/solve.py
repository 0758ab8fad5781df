"""Large-neighbourhood search: a good plan at any size, with a bound beside it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...chains.floor import PROOF, cheapest_chains_s, require_chains
from ...core.errors import HeuristicFailedError
from ...core.objective import Objective
from ...core.plan import Certificate, Placement, PlannedRoute
from ...perfmodel.predict import step_goal
from ..api import Solution
from ..task import Task

if TYPE_CHECKING:
    from .walk import Run

#: Plan and bound this near, relative, are as good as equal for a search.
SEARCH_GAP = 1e-6
#: One insertion takes longer only where code is compiled first.
COMPILED_S = 1.0


def solve_search(
    task: Task,
    *,
    max_steps: int | None = None,
    warm_start: Placement | None = None,
    warm_routes: Sequence[PlannedRoute] = (),
) -> Solution:
    """Place blocks and route a set of concurrent sessions at small total step time.

    Batches of sessions are taken out and put back by exact insertion, from several first plans
    (docs/exact.md). Stops when the plan meets the order-free bound within the task's gap, or at a
    limit.

    Parameters
    ----------
    task : where its deadline ends the search depends on the machine; only a run that ends by
        ``max_steps`` or by its gap can be repeated exactly.
    max_steps : limit of destroy-and-repair steps; None = none.
    warm_start : a placement to begin with, beside those that the search makes itself.
    warm_routes : the routes of a plan to begin with; its sessions need not be routed anew.

    Returns
    -------
    The status is ``optimal`` only where the bound proves it. After Ctrl-C the best plan so far
    comes back, marked as interrupted.

    Raises
    ------
    InfeasibleError
        If no chain of servers can hold even one session of some client.
    HeuristicFailedError
        If no plan for all sessions was found: this proves nothing.
    ValueError
        If there is neither a deadline nor a limit of steps.
    """
    if max_steps is None and math.isinf(task.deadline.at_s):
        raise ValueError("the search needs a deadline or max_steps")
    run, interrupted = _searched(task, max_steps, warm_start, warm_routes)
    return _solution(run, interrupted)


def after_compiling(task: Task) -> Task:
    """The task, its deadline later by what it took to compile an insertion: once on a machine."""
    from .moves import Manner, repair  # numba takes a while to load
    from .state import Instance, State

    begun = time.monotonic()
    state = State(Instance.of(task.cost, task.demand[:1], np.zeros(1)))
    state.pending = [(0, 1)]
    repair(state, Manner(), np.random.default_rng(0))
    took_s = time.monotonic() - begun
    return replace(task, deadline=task.deadline.later(took_s)) if took_s > COMPILED_S else task


def _searched(
    task: Task,
    max_steps: int | None,
    warm_start: Placement | None = None,
    warm_routes: Sequence[PlannedRoute] = (),
) -> tuple[Run, bool]:
    """A search, and whether Ctrl-C ended it."""
    from .state import Instance  # numba takes a while to load
    from .walk import Run

    alone = cheapest_chains_s(task.cost, task.demand)
    require_chains(task.cost, task.demand, alone)
    task = after_compiling(task)
    run = Run(
        task=task,
        instance=Instance.of(task.cost, task.demand, alone),
        rng=np.random.default_rng(task.seed),
        max_steps=max_steps,
    )
    interrupted = False
    try:
        run.search(warm_start, warm_routes)
    except KeyboardInterrupt:
        interrupted = True
    return run, interrupted


def placed_by_search(task: Task, *, max_steps: int) -> Placement:
    """What a short search places as a part of another method: Ctrl-C ends that one too.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        As ``solve_search``.
    """
    return _placed(task, max_steps)[0]


def placements_by_search(task: Task, *, max_steps: int) -> list[Placement]:
    """The same, and then what the search came by on its way that is not much dearer.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        As ``solve_search``.
    """
    placement, run = _placed(task, max_steps)
    return [placement, *(p for p in run.passed.placements() if p != placement)]


def _placed(task: Task, max_steps: int) -> tuple[Placement, Run]:
    """What a search that Ctrl-C did not end places, and that search."""
    run, interrupted = _searched(task, max_steps)
    placement, _, _ = _solution(run, interrupted)
    if interrupted:
        raise KeyboardInterrupt
    return placement, run


def _solution(run: Run, interrupted: bool) -> Solution:
    """The best state as plan and certificate."""
    best, demand = run.best, run.task.demand
    if best is None or best.pending:
        if interrupted:
            raise KeyboardInterrupt
        lost = sum(count for _, count in best.pending) if best else 0
        raise HeuristicFailedError(
            f"search: {lost} of {sum(d.sessions for d in demand)} sessions found no chain beside "
            f"the others in {run.steps} steps; no proof that no plan exists: give more time, plan "
            "for fewer or shorter sessions, or try --method exact"
        )
    reached = best.cost_s
    certificate = Certificate(
        objective=Objective(goal=step_goal(demand), value=reached, bound=min(run.bound, reached)),
        proof=PROOF,
        interrupted=interrupted,
    )
    return Solution(*best.plan(), certificate)
