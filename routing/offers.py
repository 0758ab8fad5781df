"""The chains that a request may take now, and the slot that several requests make of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..chains.graph import Graph, build_graph, request_costs_s, session_bytes
from ..core.content import FloatArray, IntArray
from ..core.plan import Placement, Route
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .queueing import Course, Queueing, Rows, course_of
from .slot import Slot

if TYPE_CHECKING:
    from ..chains.through import Crossing

#: Request shapes, and chains of each, that are remembered.
MOST_KNOWN = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """A chain that a request may take. course : what it does there; uses : (n,) cache it holds."""

    route: Route
    course: Course
    uses: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """What the links cost requests of one shape alone, their tasks there and the cache they hold.

    Attributes
    ----------
    leave_s : of leaving. offers : those made so far, by their links.
    """

    graph: Graph
    crossing: Crossing
    alone_s: FloatArray
    leave_s: FloatArray
    tasks: IntArray
    held: IntArray
    offers: dict[tuple[int, ...], Offer] = field(default_factory=dict)


class Desk:
    """Makes offers; one for a problem and a placement."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost, self._placement = cost, placement
        self._graphs: dict[int, tuple[Graph, Crossing]] = {}
        self._shapes: dict[tuple[int, int, int, int, int], _Shape] = {}

    def offers(
        self, request: Request, start: int, free: FloatArray, lines_s: FloatArray, most: int
    ) -> list[Offer]:
        """Its cheapest chains from a block on, each the cheapest through some server.

        By its time alone and what its tasks wait in the lines as they are. The same chain is the
        same object as long as it is remembered.

        Parameters
        ----------
        free : (n,) bytes for a session at each server, below 0 where it must not go.
        lines_s : (n,) how long a task waits.
        """
        from ..chains.through import distinct  # numba takes a while to load

        shape = self._shape(request, start)
        server = shape.graph.server
        cost = shape.alone_s + shape.tasks * lines_s[server]
        cost[shape.held > free[server]] = np.inf
        chains = distinct(shape.crossing, cost, shape.leave_s, most)
        return [self._offer(shape, request, links) for links in chains]

    def _offer(self, shape: _Shape, request: Request, links: list[int]) -> Offer:
        key = tuple(links)
        if key not in shape.offers:
            if len(shape.offers) >= MOST_KNOWN:
                shape.offers.clear()
            route = shape.graph.route(links)
            uses = np.zeros(self._cost.problem.num_servers)
            np.add.at(uses, shape.graph.server[links], shape.held[links])
            course = course_of(self._cost, request, route)
            shape.offers[key] = Offer(route, course, uses)
        return shape.offers[key]

    def _shape(self, request: Request, start: int) -> _Shape:
        asked = request.client, request.prompt_tokens, request.planned_tokens
        key = (start, *asked, request.reserved_tokens)
        if key not in self._shapes:
            if len(self._shapes) >= MOST_KNOWN:
                self._shapes.clear()
            graph, crossing = self._graph(start)
            alone, leave = request_costs_s(self._cost, graph, self._cost.shape(*asked))
            runs = graph.server, graph.origin, graph.end
            self._shapes[key] = _Shape(
                graph=graph,
                crossing=crossing,
                alone_s=alone,
                leave_s=np.zeros(0) if leave is None else leave,
                tasks=asked[2] - 1 + self._cost.prompt_tasks(asked[1], *runs),
                held=session_bytes(self._cost, graph, request.reserved_tokens),
            )
        return self._shapes[key]

    def _graph(self, start: int) -> tuple[Graph, Crossing]:
        from ..chains.through import crossing_of

        if start not in self._graphs:
            graph = build_graph(self._cost, self._placement, start)
            self._graphs[start] = graph, crossing_of(graph)
        return self._graphs[start]

    def value(self, offered: Sequence[Sequence[Offer]], others: Rows) -> Queueing:
        """What assignments of these chains cost, beside what others do; waiting costs nothing."""
        return Queueing(
            offered=tuple(tuple(o.course for o in offers) for offers in offered),
            running=others,
            wait_s=np.zeros(len(offered)),
            servers=self._cost.problem.num_servers,
        )

    def slot(self, offered: Sequence[Sequence[Offer]], free: FloatArray) -> Slot:
        """What the chains take of what is free."""
        most = max(map(len, offered), default=0)
        uses = np.full((len(offered), most, len(free)), np.inf)
        for r, offers in enumerate(offered):
            for p, offer in enumerate(offers):
                uses[r, p] = offer.uses
        return Slot(uses=uses, free=np.maximum(free, 0.0))
