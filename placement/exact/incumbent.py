"""The best plan so far: from searches and programmes, always verified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...chains.soundness import unsound
from ...core.errors import HeuristicFailedError, InfeasibleError
from ...core.plan import Placement, PlannedRoute
from ...perfmodel.predict import step_objective_s
from ...solve.deadline import Deadline
from ..moves.completion import completed
from ..search.solve import SEARCH_GAP, solve_search
from ..task import Task
from .bag import Bag
from .part import Part
from .relaxed import drawn_levels

Plan = tuple[Placement, tuple[PlannedRoute, ...]]
#: Steps of search with and then without the relaxation's limits, in one guided restart.
GUIDED_STEPS = 150


@dataclass(slots=True)
class Incumbent:
    """Keeps the cheapest sound plan; ``objective_s`` is inf while there is none.

    ``start`` is a placement to begin with as long as there is no plan.
    """

    task: Task
    start: Placement | None = None
    plan: Plan | None = None
    objective_s: float = float("inf")

    def offer(self, plan: Plan) -> bool:
        """Take a plan if it is sound and better, with more hosts where demands ask for them."""
        task, (placement, routes) = self.task, plan
        reached = step_objective_s(task.cost, routes, task.demand)
        if reached >= self.objective_s or unsound(task.cost, placement, routes, task.demand):
            return False
        whole = completed(task, placement, routes)
        if whole is None:
            return False
        self.plan, self.objective_s = (whole, routes), reached
        return True

    def search(
        self,
        *,
        deadline: Deadline,
        target_s: float,
        floor_s: float,
        seed: int,
        max_steps: int | None = None,
        servers: Sequence[int] | None = None,
    ) -> bool:
        """Large-neighbourhood search until ``target_s`` or the deadline; whether interrupted.

        ``floor_s`` is the bound that the search itself knows of all servers: its gap is told from
        there. ``servers`` are those it may use; on a few it is much faster than on all.
        """
        if deadline.passed:
            return False
        every = range(self.task.problem.num_servers)
        part = Part(self.task, every if servers is None else servers)
        start, routes = self.plan or (self.start, ())
        gap = max(0.0, 1.0 - floor_s / target_s)
        try:
            found, ways, proof = solve_search(
                replace(part.task(), deadline=deadline, gap=gap, seed=seed),
                max_steps=max_steps,
                warm_start=None if start is None else part.of(start),
                warm_routes=part.routes(routes),
            )
        except (HeuristicFailedError, InfeasibleError):
            return False
        self.offer(part.whole(found, ways))
        return proof.interrupted

    def guided(
        self, bag: Bag, *, deadline: Deadline, target_s: float, seed: int, servers: Sequence[int]
    ) -> bool:
        """Restarts near the relaxation until ``target_s`` or the deadline; whether interrupted.

        Each draws how many blocks every server may host from the shares of its levels, searches
        from nothing under these limits, then from what it found without them. Walks alone rarely
        leave a plan whose levels are wrong where memory is tight.
        """
        rng = np.random.default_rng(seed)
        part = Part(self.task, servers)
        unlimited = replace(part.task(), deadline=deadline, gap=SEARCH_GAP)
        while self.objective_s > target_s and not deadline.passed:
            limited = part.task(drawn_levels(bag.master, rng))
            number = int(rng.integers(2**31))
            drawn = replace(unlimited, cost=limited.cost, seed=number)
            try:
                placement, routes, proof = solve_search(drawn, max_steps=GUIDED_STEPS)
                if not proof.interrupted:
                    placement, routes, proof = solve_search(
                        replace(unlimited, seed=number),
                        max_steps=GUIDED_STEPS,
                        warm_start=placement,
                        warm_routes=routes,
                    )
            except (HeuristicFailedError, InfeasibleError):
                continue
            self.offer(part.whole(placement, routes))
            if proof.interrupted:
                return True
        return False
