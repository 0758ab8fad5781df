"""The exact method: a good plan, a bound that holds at any instant, and how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.plan import Placement
from ...core.problem import Problem
from ...solve.progress import OnProgress
from ..api import Solution
from ..demand import Demand, demand_of
from ..search.bounds import cheapest_chains_s, require_chains, summed_s
from ..sessions import target_sessions
from .work import Work

__all__ = ["Exact", "solve_exact"]


def solve_exact(
    problem: Problem,
    *,
    demand: Sequence[Demand] | None = None,
    sessions: int | None = None,
    time_limit_s: float | None = 60.0,
    gap: float = 1e-5,
    seed: int = 0,
    warm_start: Placement | None = None,
    on_progress: OnProgress | None = None,
    max_iterations: int | None = None,
) -> Solution:
    """Place blocks and route a set of concurrent sessions at proven least total step time.

    In turn, until plan and bound meet within ``gap`` (docs/exact.md): the order-free knapsack
    bound and a large-neighbourhood search; bag column generation; restarts near its levels;
    branching on how many blocks servers host; the interval-flow programme on what reduced costs
    leave; search again.

    Parameters
    ----------
    problem : the problem.
    demand : the sessions, at most one entry a client; split from ``sessions`` when left out.
    sessions : R; ``target_sessions(problem)`` when left out.
    time_limit_s : wall-clock limit, None = none.
    gap : stop when plan and bound are this near, relative.
    seed : of all random choices.
    warm_start : a placement to begin with.
    on_progress : called with objective and bound while the method works.
    max_iterations : limit of pricing rounds, for results that do not depend on the clock.

    Returns
    -------
    (placement, routes, certificate). The objective is recomputed with the shared cost model; the
    bound holds whenever the work stopped; the status is ``optimal`` only when they are within
    ``gap``; the method says what gave the bound. Under server relay the bound prices the cheapest
    leg into every server, and stays below the optimum in general. After Ctrl-C the best plan so
    far comes back, with "interrupted" in the certificate's method.

    Raises
    ------
    InfeasibleError
        When it is proven that no plan exists.
    NoSolutionInTimeError
        When the limit passes without a plan; it carries the bound.
    """
    if demand is None:
        demand = demand_of(problem, target_sessions(problem) if sessions is None else sessions)
    alone = cheapest_chains_s(problem, demand)
    require_chains(problem, demand, alone)
    work = Work(
        problem=problem,
        demand=tuple(demand),
        gap=gap,
        seed=seed,
        limit_s=float("inf") if time_limit_s is None else time_limit_s,
        max_iterations=max_iterations,
        on_progress=on_progress,
    )
    work.raise_bound(summed_s(demand, alone), "knapsack")
    try:
        work.run(warm_start)
    except KeyboardInterrupt:
        work.interrupted = True
    return work.solution()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """The exact method as a placer; ``solve_exact`` gives routes and certificate too."""

    sessions: int | None = None
    time_limit_s: float | None = 60.0
    gap: float = 1e-5
    warm_start: Placement | None = None

    def __call__(self, problem: Problem, *, seed: int = 0) -> Placement:
        """Placement of the best plan found; errors as ``solve_exact``."""
        placement, _, _ = solve_exact(
            problem,
            sessions=self.sessions,
            time_limit_s=self.time_limit_s,
            gap=self.gap,
            warm_start=self.warm_start,
            seed=seed,
        )
        return placement
