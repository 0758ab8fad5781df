"""The best plan so far: from searches and programmes, always verified."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.errors import HeuristicFailedError, InfeasibleError
from ...core.plan import Placement, PlannedRoute
from ...core.problem import Problem
from ..demand import Demand
from ..milp.start import defects, objective
from ..search.solve import solve_search
from .bag import Bag
from .part import Part

Plan = tuple[Placement, tuple[PlannedRoute, ...]]
#: Steps of search with and then without the relaxation's limits, in one guided restart.
GUIDED_STEPS = 150


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
        servers: Sequence[int] | None = None,
    ) -> bool:
        """Large-neighbourhood search until ``target_s`` or the limit; True if it was interrupted.

        ``floor_s`` is the bound that the search itself knows of all servers: its gap is told from
        there. ``servers`` are those it may use; on a few it is much faster than on all.
        """
        if limit_s <= 0:
            return False
        part = Part(self.problem, range(self.problem.num_servers) if servers is None else servers)
        start = self.plan[0] if self.plan else self.start
        try:
            placement, routes, proof = solve_search(
                part.problem(),
                demand=self.demand,
                time_limit_s=limit_s,
                max_steps=max_steps,
                gap=max(0.0, 1.0 - floor_s / target_s),
                seed=seed,
                warm_start=None if start is None else part.of(start),
            )
        except (HeuristicFailedError, InfeasibleError):
            return False
        self.offer(part.whole(placement, routes))
        return proof.interrupted

    def guided(
        self, bag: Bag, *, limit_s: float, target_s: float, seed: int, servers: Sequence[int]
    ) -> bool:
        """Restarts near the relaxation until ``target_s`` or the limit; True if interrupted.

        Each draws how many blocks every server may host from the shares of its levels, searches
        from nothing under these limits, then from what it found without them. Walks alone rarely
        leave a plan whose levels are wrong where memory is tight.
        """
        rng = np.random.default_rng(seed)
        part, until = Part(self.problem, servers), time.monotonic() + limit_s
        unlimited = part.problem()
        while self.objective_s > target_s and (left := until - time.monotonic()) > 0:
            drawn = part.problem(bag.master.drawn_levels(rng))
            number = int(rng.integers(2**31))
            try:
                placement, routes, proof = solve_search(
                    drawn,
                    demand=self.demand,
                    time_limit_s=left,
                    max_steps=GUIDED_STEPS,
                    seed=number,
                )
                if not proof.interrupted:
                    placement, routes, proof = solve_search(
                        unlimited,
                        demand=self.demand,
                        time_limit_s=max(until - time.monotonic(), 0.01),
                        max_steps=GUIDED_STEPS,
                        seed=number,
                        warm_start=placement,
                        warm_routes=routes,
                    )
            except (HeuristicFailedError, InfeasibleError):
                continue
            self.offer(part.whole(placement, routes))
            if proof.interrupted:
                return True
        return False
