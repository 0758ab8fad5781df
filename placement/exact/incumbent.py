"""The best plan so far: from the search, from the closing programme, always verified."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.errors import HeuristicFailedError
from ...core.plan import Placement, PlannedRoute
from ...core.problem import Problem
from ..demand import Demand
from ..milp.outcome import OnProgress
from ..milp.start import defects, objective
from ..search.solve import solve_search

Plan = tuple[Placement, tuple[PlannedRoute, ...]]


@dataclass(slots=True)
class Incumbent:
    """Keeps the cheapest sound plan; ``objective_s`` is inf while there is none.

    ``start`` is a placement to begin with as long as there is no plan.
    """

    problem: Problem
    demand: tuple[Demand, ...]
    start: Placement | None = None
    plan: Plan | None = None
    objective_s: float = float("inf")

    def offer(self, plan: Plan) -> bool:
        """Take a plan if it is sound and better."""
        placement, routes = plan
        cost = objective(self.problem, self.demand, routes)
        if cost >= self.objective_s or defects(self.problem, self.demand, placement, routes):
            return False
        self.plan, self.objective_s = plan, cost
        return True

    def search(
        self,
        *,
        limit_s: float,
        target_s: float,
        floor_s: float,
        seed: int,
        max_steps: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> bool:
        """Large-neighbourhood search until ``target_s`` or the limit; True if it was interrupted.

        ``floor_s`` is the bound that the search itself knows: its gap is told from there.
        """
        if limit_s <= 0:
            return False
        start = self.plan[0] if self.plan else self.start
        try:
            placement, routes, proof = solve_search(
                self.problem,
                demand=self.demand,
                time_limit_s=limit_s,
                max_steps=max_steps,
                gap=max(0.0, 1.0 - floor_s / target_s),
                seed=seed,
                warm_start=start,
                on_progress=on_progress,
            )
        except HeuristicFailedError:
            return False
        self.offer((placement, routes))
        return proof.interrupted
