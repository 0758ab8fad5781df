"""The chains that a request may take now, and the slot that several requests make of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..chains.graph import Graph, build_graph, request_costs_s, session_bytes
from ..core.content import FloatArray, IntArray
from ..core.plan import Placement, Route
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .alternatives import cheapest_distinct
from .queueing import Course, Queueing, course_of
from .slot import Slot

#: Request shapes and courses that are remembered.
MOST_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class _Links:
    """What the links cost one request shape alone, and its tasks there; ``leave_s`` of leaving."""

    alone_s: FloatArray
    leave_s: FloatArray | None
    tasks: IntArray


class Desk:
    """Makes offers; one for a problem and a placement."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost, self._placement = cost, placement
        self._graphs: dict[int, Graph] = {}
        self._links: dict[tuple[int, int, int, int], _Links] = {}
        self._courses: dict[tuple[int, int, int, Route], Course] = {}
        self._last: tuple[_Links | None, bytes, int, list[Route]] = None, b"", 0, []

    def chains(
        self, request: Request, start: int, free: FloatArray, lines_s: FloatArray, most: int
    ) -> list[Route]:
        """Its cheapest chains from a block on, each the cheapest through some server.

        By its time alone and what its tasks wait in the lines as they are.

        Parameters
        ----------
        free : (n,) bytes for a session at each server, below 0 where it must not go.
        lines_s : (n,) how long a task waits.
        """
        if start not in self._graphs:
            self._graphs[start] = build_graph(self._cost, self._placement, start)
        graph = self._graphs[start]
        held = session_bytes(self._cost, graph, request.reserved_tokens)
        room = held <= free[graph.server]
        if not room.any():
            return []
        links = self._known_links(graph, request)
        cost = np.where(room, links.alone_s + links.tasks * lines_s[graph.server], np.inf)
        of, at, asked, found = self._last
        key = cost.tobytes()
        if of is not links or at != key or asked < most:  # a slot asks twice for the same
            chains = cheapest_distinct(graph, cost, links.leave_s, most)
            found = [graph.route(chain) for chain in chains]
            self._last = links, key, most, found
        return found[:most]

    def _known_links(self, graph: Graph, request: Request) -> _Links:
        key = (graph.start, request.client, request.prompt_tokens, request.planned_tokens)
        if key not in self._links:
            if len(self._links) >= MOST_KNOWN:
                self._links.clear()
            alone, leave = request_costs_s(self._cost, graph, self._cost.shape(*key[1:]))
            runs = graph.server, graph.origin, graph.end
            tasks = request.planned_tokens - 1 + self._cost.prompt_tasks(key[2], *runs)
            self._links[key] = _Links(alone, leave, tasks)
        return self._links[key]

    def course(self, request: Request, route: Route) -> Course:
        """What a request does on a chain."""
        key = (request.client, request.prompt_tokens, request.planned_tokens, route)
        if key not in self._courses:
            if len(self._courses) >= MOST_KNOWN:
                self._courses.clear()
            self._courses[key] = course_of(self._cost, request, route)
        return self._courses[key]

    def uses(self, request: Request, route: Route) -> FloatArray:
        """(n,) cache that a request holds on a chain."""
        uses = np.zeros(self._cost.problem.num_servers)
        for h in route.hops:
            uses[h.server] += self._cost.cache_bytes(request.reserved_tokens, h.start, h.end)
        return uses

    def value(
        self,
        requests: Sequence[Request],
        routes: Sequence[Sequence[Route]],
        others: Sequence[Course],
    ) -> Queueing:
        """What assignments of these chains cost, beside what others do; waiting costs nothing."""
        offered = (
            tuple(self.course(r, chain) for chain in chains)
            for r, chains in zip(requests, routes, strict=True)
        )
        return Queueing(
            offered=tuple(offered),
            running=tuple(others),
            wait_s=np.zeros(len(requests)),
            servers=self._cost.problem.num_servers,
        )

    def slot(
        self, requests: Sequence[Request], routes: Sequence[Sequence[Route]], free: FloatArray
    ) -> Slot:
        """What the chains take of what is free."""
        most = max((len(chains) for chains in routes), default=0)
        uses = np.full((len(requests), most, len(free)), np.inf)
        for r, chains in enumerate(routes):
            for p, chain in enumerate(chains):
                uses[r, p] = self.uses(requests[r], chain)
        return Slot(uses=uses, free=np.maximum(free, 0.0))
