"""The problem with some of its servers only, and plans for it as plans for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.constraints import Constraints
from ...core.plan import Placement, PlannedRoute, Route
from ...core.problem import Problem
from ...perfmodel.cost import CostModel
from ..allowed import pins_of
from ..task import Task


@dataclass(frozen=True, slots=True)
class Part:
    """Some servers (rows) of a problem."""

    full: Task
    rows: Sequence[int]

    def task(self, most: Mapping[int, int] | None = None) -> Task:
        """The task among the servers; row ``j`` hosts at most ``most[j]`` blocks.

        Pins and bans carry over, other demands on the placement do not.
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
                constraints=self._constraints(),
            ),
        )

    def _constraints(self) -> Constraints:
        asked = self.full.problem.planning.constraints
        row = {server: i for i, server in enumerate(self.rows)}
        pinned, forbidden = (
            tuple(replace(s, server=row[s.server]) for s in spans if s.server in row)
            for spans in (asked.pinned, asked.forbidden)
        )
        return Constraints(headroom_frac=asked.headroom_frac, pinned=pinned, forbidden=forbidden)

    def of(self, placement: Placement) -> Placement:
        """What the servers host of a placement of all."""
        at = list(self.rows)
        return Placement(
            start=placement.start[at], end=placement.end[at], cache_bytes=placement.cache_bytes[at]
        )

    def routes(self, routes: Sequence[PlannedRoute]) -> tuple[PlannedRoute, ...]:
        """Routes of a plan for all that pass these servers only."""
        row = {server: i for i, server in enumerate(self.rows)}
        return tuple(_on(r, row) for r in routes if all(h.server in row for h in r.route.hops))

    def whole(
        self, placement: Placement, routes: Sequence[PlannedRoute]
    ) -> tuple[Placement, tuple[PlannedRoute, ...]]:
        """A plan among the servers as one for all."""
        pinned = pins_of(self.full.problem.planning.constraints)
        spans = [pinned.get(j, (0, 0)) for j in range(self.full.problem.num_servers)]
        for i, j in enumerate(self.rows):
            spans[j] = int(placement.start[i]), int(placement.end[i])
        named = dict(enumerate(self.rows))
        return self.full.cost.placed(spans), tuple(_on(r, named) for r in routes)


def _on(planned: PlannedRoute, servers: Mapping[int, int]) -> PlannedRoute:
    """The route with its servers renamed."""
    hops = tuple(replace(h, server=servers[h.server]) for h in planned.route.hops)
    return replace(planned, route=Route(hops=hops))
