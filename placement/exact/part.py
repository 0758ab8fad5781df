"""The problem with some of its servers only, and plans for it as plans for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.constraints import Constraints
from ...core.plan import Placement, PlannedRoute, Route
from ...core.problem import Problem
from ...perfmodel.cost import CostModel
from ..task import Task


@dataclass(frozen=True, slots=True)
class Part:
    """Some servers (rows) of a problem."""

    full: Task
    rows: Sequence[int]

    def task(self, most: Mapping[int, int] | None = None) -> Task:
        """The task among the servers; row ``j`` hosts at most ``most[j]`` blocks.

        Demands on the placement do not carry over.
        """
        cost = CostModel(self._problem(most)).lasting(self.full.cost.lasting_s)
        return replace(self.full, cost=cost, on_progress=None)

    def _problem(self, most: Mapping[int, int] | None) -> Problem:
        full = self.full.problem
        at = list(self.rows)
        limits = dict(enumerate(full.max_blocks.tolist())) | dict(most or {})
        return replace(
            full,
            servers=tuple(replace(full.servers[j], max_blocks=limits[j]) for j in at),
            network=full.network.of_servers(np.array(at, dtype=np.int64)),
            planning=replace(
                full.planning,
                constraints=Constraints(headroom_frac=full.planning.constraints.headroom_frac),
            ),
        )

    def of(self, placement: Placement) -> Placement:
        """What the servers host of a placement of all."""
        at = list(self.rows)
        return Placement(
            start=placement.start[at], end=placement.end[at], cache_bytes=placement.cache_bytes[at]
        )

    def whole(
        self, placement: Placement, routes: Sequence[PlannedRoute]
    ) -> tuple[Placement, tuple[PlannedRoute, ...]]:
        """A plan among the servers as one for all."""
        spans = [(0, 0)] * self.full.problem.num_servers
        for i, j in enumerate(self.rows):
            spans[j] = int(placement.start[i]), int(placement.end[i])
        named = tuple(
            replace(r, route=Route(hops=tuple(replace(h, server=self.rows[h.server])
                                              for h in r.route.hops)))
            for r in routes
        )  # fmt: skip
        return self.full.cost.placed(spans), named
