"""``auto`` for the objective latency: least time per token of R concurrent sessions.

Every placement of the portfolio gets its routes by successive shortest chains; the best of them is
where the exact method begins, which improves it and proves a bound in the time that is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..chains import floor
from ..core.errors import (
    HeuristicFailedError,
    NoRouteError,
    NoSolutionInTimeError,
    RequestTooLargeError,
)
from ..core.objective import STEP, Objective
from ..core.plan import Candidate, Certificate, Placement, PlannedRoute
from ..perfmodel.predict import step_objective_s
from ..placement.exact.solve import beyond, solve_exact
from ..placement.moves.resilience import honoured
from ..placement.task import Task
from ..routing.offline import best_routes
from ..solve.deadline import Deadline
from .candidates import entries
from .draft import Draft, Known
from .programme import ROUTER

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
            router=ROUTER,
            bound=self.bound_s,
            figure=self.objective_s,
            requests=0,
            verdict=self.verdict,
        )


def least_latency(task: Task, known: Sequence[Known] = ()) -> Draft:
    """The plan with the least total step time, and the best bound that any part of it proved.

    Parameters
    ----------
    known : placements that are there already.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        If no plan holds all sessions.
    """
    found = _constructed(task, known)
    bound, proof = floor.lower_bound_s(task.cost, task.demand), floor.PROOF
    best = min(found, key=lambda f: f.objective_s, default=None)
    interrupted = False
    open_gap = best is None or best.objective_s - bound > task.gap * best.objective_s
    # Of a swarm that is too large for it, the plans that are there already are all there is.
    if open_gap and (best is None or not beyond(task)):
        left_s = max(1.0, task.deadline.left_s() - RESERVE_S)
        try:
            placement, routes, proven = solve_exact(
                replace(task, deadline=Deadline.after(left_s)),
                warm_start=None if best is None else best.placement,
                warm_routes=() if best is None else best.routes,
            )
        except (KeyboardInterrupt, NoSolutionInTimeError) as reason:
            if best is None:
                raise
            interrupted = isinstance(reason, KeyboardInterrupt)
        else:
            interrupted = proven.interrupted
            reached = proven.objective.bound
            if reached is not None and reached > bound:
                bound, proof = reached, proven.proof
            if honoured(task, placement) is placement:
                objective = step_objective_s(task.cost, routes)
                found.append(Found("exact", placement, routes, objective, reached))
    return _best(task, found, bound, proof, interrupted)


def _constructed(task: Task, known: Sequence[Known]) -> list[Found]:
    """Plans on the placements of the portfolio that hold all sessions."""
    found = []
    early = replace(task, deadline=task.deadline.share(CONSTRUCTION_SHARE))
    for entry in entries(early, known):
        placement = entry.plan.placement
        try:
            routes, unrouted = best_routes(task.cost, placement, task.demand)
        except (NoRouteError, RequestTooLargeError):
            continue
        if not unrouted:
            objective = step_objective_s(task.cost, routes)
            found.append(Found(entry.plan.name, placement, routes, objective))
    return found


def _best(task: Task, found: list[Found], bound: float, proof: str, interrupted: bool) -> Draft:
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
    certificate = Certificate(
        objective=Objective(goal=STEP, value=best.objective_s, bound=bound),
        proof=proof,
        interrupted=interrupted,
    )
    return Draft(
        placement=best.placement,
        router=ROUTER,
        routes=best.routes,
        certificate=certificate,
        candidates=tuple(f.candidate() for f in ranked),
        notes=(f"auto: {best.name} has the least time per token of {len(ranked)} candidates",),
        interrupted=interrupted,
    )
