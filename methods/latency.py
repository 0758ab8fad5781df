"""``auto`` for the objective latency: least time per token of R concurrent sessions.

Every placement of the portfolio gets its routes by successive shortest chains; the best of them is
where the exact method begins, which improves it and proves a bound in the time that is left.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import (
    HeuristicFailedError,
    NoRouteError,
    NoSolutionInTimeError,
    RequestTooLargeError,
)
from ..core.plan import Candidate, Certificate, Placement, PlannedRoute
from ..core.problem import Problem
from ..perfmodel.predict import STEP_OBJECTIVE, step_objective_s
from ..placement.demand import Demand, demand_of
from ..placement.exact.solve import solve_exact
from ..placement.resilience import honoured
from ..placement.search.bounds import lower_bound_s
from ..placement.sessions import target_sessions
from ..routing.offline import best_routes
from .candidates import entries
from .draft import Draft, Settings

#: Left of the time limit for checking and writing the plan.
RESERVE_S = 0.5
#: Of the time limit: after this share no further placement is made.
CONSTRUCTION_SHARE = 0.2


@dataclass(slots=True)
class Found:
    """A plan for all sessions (mutable verdict: the record of the search)."""

    name: str
    placement: Placement
    routes: tuple[PlannedRoute, ...]
    objective_s: float
    bound_s: float | None = None
    verdict: str = ""

    def candidate(self) -> Candidate:
        """The row of the plan's table."""
        return Candidate(
            placement=self.name,
            router="fastest-free",
            bound=self.bound_s,
            figure=self.objective_s,
            requests=0,
            verdict=self.verdict,
        )


def least_latency(problem: Problem, settings: Settings) -> Draft:
    """The plan with the least total step time, and the best bound that any part of it proved.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        If no plan holds all sessions.
    """
    began = time.monotonic()
    demand = demand_of(problem, target_sessions(problem))
    limit = settings.time_limit_s
    until = math.inf if limit is None else began + CONSTRUCTION_SHARE * limit
    found = _constructed(problem, settings, demand, until)
    bound = lower_bound_s(problem, demand)
    best = min(found, key=lambda f: f.objective_s, default=None)
    interrupted = False
    if best is None or best.objective_s - bound > settings.gap * best.objective_s:
        left = None if limit is None else max(1.0, limit - (time.monotonic() - began) - RESERVE_S)
        try:
            placement, routes, proof = solve_exact(
                problem,
                time_limit_s=left,
                gap=settings.gap,
                seed=settings.seed,
                warm_start=None if best is None else best.placement,
                on_progress=settings.on_progress,
            )
        except (KeyboardInterrupt, NoSolutionInTimeError) as reason:
            if best is None:
                raise
            interrupted = isinstance(reason, KeyboardInterrupt)
        else:
            interrupted = proof.interrupted
            bound = max(bound, proof.bound or 0.0)
            if honoured(problem, placement, seed=settings.seed) is placement:
                objective = step_objective_s(problem, routes)
                found.append(Found("exact", placement, routes, objective, proof.bound))
    return _best(found, bound, settings, interrupted)


def _constructed(
    problem: Problem, settings: Settings, demand: Sequence[Demand], until_s: float
) -> list[Found]:
    """Plans on the placements of the portfolio that hold all sessions."""
    total = sum(d.sessions for d in demand)
    found = []
    for entry in entries(problem, seed=settings.seed, until_s=until_s):
        placement = entry.plan.placement
        try:
            routes, _ = best_routes(problem, placement, demand)
        except (NoRouteError, RequestTooLargeError):
            continue
        if sum(r.sessions for r in routes) == total:
            objective = step_objective_s(problem, routes)
            found.append(Found(entry.plan.name, placement, routes, objective))
    return found


def _best(found: list[Found], bound: float, settings: Settings, interrupted: bool) -> Draft:
    if not found:
        raise HeuristicFailedError(
            "no placement tried holds all sessions at once; no proof that none does: plan for "
            "fewer or shorter sessions, or give more time"
        )
    ranked = sorted(found, key=lambda f: f.objective_s)
    best = ranked[0]
    for other in ranked[1:]:
        other.verdict = f"{(other.objective_s / best.objective_s - 1) * 100:.2f} % slower"
    best.verdict = "chosen"
    bound = min(bound, best.objective_s)
    open_gap = best.objective_s - bound
    proof = Certificate(
        status="optimal" if open_gap <= settings.gap * best.objective_s else "feasible",
        objective=best.objective_s,
        bound=bound,
        method=f"auto: {best.name}{' (interrupted)' if interrupted else ''}",
        meaning=STEP_OBJECTIVE,
    )
    return Draft(
        placement=best.placement,
        router="fastest-free",
        routes=best.routes,
        certificate=proof,
        candidates=tuple(f.candidate() for f in ranked),
        notes=(f"auto: {best.name} has the least time per token of {len(ranked)} candidates",),
    )
