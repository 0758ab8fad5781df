"""Large-neighbourhood search: a good plan at any size, with a bound beside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.errors import HeuristicFailedError
from ...core.plan import Certificate, Placement, PlannedRoute
from ...core.problem import Problem
from ...solve.progress import OnProgress
from ..api import Solution
from ..demand import Demand, demand_of, meaning_of
from ..sessions import target_sessions
from .bounds import cheapest_chains_s, require_chains
from .state import Instance
from .walk import Run

__all__ = ["Search", "solve_search"]


def solve_search(
    problem: Problem,
    *,
    demand: Sequence[Demand] | None = None,
    sessions: int | None = None,
    time_limit_s: float | None = 10.0,
    max_steps: int | None = None,
    gap: float = 1e-6,
    seed: int = 0,
    warm_start: Placement | None = None,
    warm_routes: Sequence[PlannedRoute] = (),
    on_progress: OnProgress | None = None,
) -> Solution:
    """Place blocks and route a set of concurrent sessions at small total step time.

    Batches of sessions are taken out and put back by exact insertion, from several first plans
    (docs/exact.md). Stops when the plan meets the order-free bound within ``gap``, or at a limit.

    Parameters
    ----------
    problem : the problem.
    demand : the sessions, client by client; split from ``sessions`` when left out.
    sessions : R; ``target_sessions(problem)`` when left out.
    time_limit_s : wall-clock limit, None = none. Where it ends the search depends on the machine;
        only a run that ends by ``max_steps`` or by its gap can be repeated exactly.
    max_steps : limit of destroy-and-repair steps; None = none.
    gap : stop when plan and bound are this near, relative.
    seed : of all random choices.
    warm_start : a placement to begin with, beside those that the search makes itself.
    warm_routes : the routes of a plan to begin with; its sessions need not be routed anew.
    on_progress : called with objective and bound, at least about once a second.

    Returns
    -------
    (placement, routes, certificate). The status is ``optimal`` only where the bound proves it.
    After Ctrl-C the best plan so far comes back, with "interrupted" in the certificate's method.

    Raises
    ------
    InfeasibleError
        If no chain of servers can hold even one session of some client.
    HeuristicFailedError
        If no plan for all sessions was found: this proves nothing.
    ValueError
        If neither limit is given.
    """
    if time_limit_s is None and max_steps is None:
        raise ValueError("the search needs time_limit_s or max_steps")
    if demand is None:
        demand = demand_of(problem, target_sessions(problem) if sessions is None else sessions)
    alone = cheapest_chains_s(problem, demand)
    require_chains(problem, demand, alone)
    run = Run(
        instance=Instance.of(problem, demand, alone),
        rng=np.random.default_rng(seed),
        began=time.monotonic(),
        time_limit_s=float("inf") if time_limit_s is None else time_limit_s,
        max_steps=max_steps,
        gap=gap,
        on_progress=on_progress,
    )
    interrupted = False
    try:
        run.search(warm_start, warm_routes)
    except KeyboardInterrupt:
        interrupted = True
    return _solution(run, interrupted)


def _solution(run: Run, interrupted: bool) -> Solution:
    """The best state as plan and certificate."""
    best = run.best
    if best is None or best.pending:
        if interrupted:
            raise KeyboardInterrupt
        lost = sum(count for _, count in best.pending) if best else 0
        total = sum(d.sessions for d in run.instance.demand)
        raise HeuristicFailedError(
            f"search: {lost} of {total} sessions found no chain beside the others in "
            f"{run.steps} steps; no proof that no plan exists: give more time, plan for fewer or "
            "shorter sessions, or try --method exact"
        )
    placement, routes = best.plan()
    reached = best.cost_s
    bound = min(run.bound, reached)
    label = f"search (order-free bound{', interrupted' if interrupted else ''})"
    return (
        placement,
        routes,
        Certificate(
            status="optimal" if run.proven(reached) else "feasible",
            objective=reached,
            bound=bound,
            method=label,
            meaning=meaning_of(run.instance.demand),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The search as a placer; ``solve_search`` gives routes and certificate too."""

    time_limit_s: float | None = 10.0
    max_steps: int | None = None
    gap: float = 1e-6
    warm_start: Placement | None = None

    def __call__(self, problem: Problem, *, seed: int = 0) -> Placement:
        """Placement of the best plan found; errors as ``solve_search``."""
        placement, _, _ = solve_search(
            problem,
            time_limit_s=self.time_limit_s,
            max_steps=self.max_steps,
            gap=self.gap,
            warm_start=self.warm_start,
            seed=seed,
        )
        return placement
