"""The best plan so far: from the search, from the closing programme, always verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.constraints import Constraints
from ...core.errors import HeuristicFailedError, InfeasibleError
from ...core.plan import Placement, PlannedRoute, Route
from ...core.problem import Problem
from ..demand import Demand
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
        servers: Sequence[int] | None = None,
    ) -> bool:
        """Large-neighbourhood search until ``target_s`` or the limit; True if it was interrupted.

        ``floor_s`` is the bound that the search itself knows of all servers: its gap is told from
        there. ``servers`` are those it may use; on a few it is much faster than on all.
        """
        if limit_s <= 0:
            return False
        rows = range(self.problem.num_servers) if servers is None else servers
        problem = self.problem if servers is None else _among(self.problem, rows)
        start = self.plan[0] if self.plan else self.start
        try:
            placement, routes, proof = solve_search(
                problem,
                demand=self.demand,
                time_limit_s=limit_s,
                max_steps=max_steps,
                gap=max(0.0, 1.0 - floor_s / target_s),
                seed=seed,
                warm_start=start if servers is None or start is None else _part(start, rows),
            )
        except (HeuristicFailedError, InfeasibleError):
            return False
        self.offer((placement, routes) if servers is None else self._whole(placement, routes, rows))
        return proof.interrupted

    def _whole(
        self, placement: Placement, routes: Sequence[PlannedRoute], rows: Sequence[int]
    ) -> Plan:
        """A plan among some servers as one for all."""
        spans = [(0, 0)] * self.problem.num_servers
        for i, j in enumerate(rows):
            spans[j] = int(placement.start[i]), int(placement.end[i])
        named = tuple(
            replace(
                r, route=Route(hops=tuple(replace(h, server=rows[h.server]) for h in r.route.hops))
            )
            for r in routes
        )
        return Placement.of(self.problem, spans), named


def _part(placement: Placement, rows: Sequence[int]) -> Placement:
    """What some servers host."""
    at = list(rows)
    return Placement(
        start=placement.start[at], end=placement.end[at], cache_bytes=placement.cache_bytes[at]
    )


def _among(problem: Problem, rows: Sequence[int]) -> Problem:
    """The problem with some of the servers only; demands on the placement do not carry over."""
    at, network = list(rows), problem.network
    bandwidth = network.client_bandwidth_bytes_per_s
    return replace(
        problem,
        servers=tuple(problem.servers[j] for j in at),
        network=replace(
            network,
            client_rtt_s=network.client_rtt_s[:, at],
            server_rtt_s=network.server_rtt_s[np.ix_(at, at)],
            client_bandwidth_bytes_per_s=None if bandwidth is None else bandwidth[:, at],
        ),
        planning=replace(
            problem.planning,
            constraints=Constraints(headroom_frac=problem.planning.constraints.headroom_frac),
        ),
    )
