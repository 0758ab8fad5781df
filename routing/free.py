"""Fastest free chain: like JFFC, over every chain of the placement instead of composed ones.

A request takes the shortest chain among the links that have room for it now. Only when no such
chain exists does it look ahead, by ``LeastResponse``: the least time plus longest wait. WS-RR, in
contrast, may send a request into a queue beside a slower chain that is free, which holds up those
behind it too.
"""

from __future__ import annotations

import numpy as np

from ..chains.graph import build_graph, request_costs_s, session_bytes
from ..chains.shortest import shortest
from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .api import Decision, SwarmView
from .threshold import LeastResponse
from .ws_rr import Costs


class FastestFree:
    """Router: the fastest chain with room now, else the one that ends first."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost = cost
        self._known: dict[tuple[int, int, int], Costs] = {}
        self._graph = build_graph(cost, placement)
        self._ahead = LeastResponse(cost, placement)

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        """The chain to take, or to wait for; errors as every router."""
        if start_block == 0:
            graph = self._graph
            plain, leave = self._link_cost(request)
            room = np.where(view.down, 0, view.free_bytes)
            room[list(exclude)] = 0
            need = session_bytes(self._cost, graph, request.reserved_tokens)
            links_s = np.where(need <= room[graph.server], plain, np.inf)
            links, total = shortest(graph, links_s, leave)
            if links:
                return Decision(route=graph.route(links), cost_s=total)
        return self._ahead(request, view, now_s, start_block=start_block, exclude=exclude)

    def _link_cost(self, request: Request) -> Costs:
        """(E,) seconds of every link for a request, and of the way back; remembered by shape."""
        key = (request.client, request.prompt_tokens, request.planned_tokens)
        if key not in self._known:
            if len(self._known) > 256:
                self._known.clear()
            shape = self._cost.shape(*key)
            self._known[key] = request_costs_s(self._cost, self._graph, shape)
        return self._known[key]
