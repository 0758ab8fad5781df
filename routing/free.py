"""Fastest free chain: like JFFC, over every chain of the placement instead of composed ones.

A request takes the shortest chain among the links that have room for it now. Only when no such
chain exists does it look ahead, by ``LeastResponse``: the least time plus longest wait. WS-RR, in
contrast, may send a request into a queue beside a slower chain that is free, which holds up those
behind it too.
"""

from __future__ import annotations

import numpy as np

from ..core.plan import Placement
from ..core.problem import FloatArray, Problem
from ..core.workload import Request
from ..perfmodel.latency import hop_cost
from ..perfmodel.shortest import build_graph, exit_cost_s, link_cost_s, shortest
from .api import Decision
from .state import SwarmState
from .threshold import LeastResponse


class FastestFree:
    """Router: the fastest chain with room now, else the one that ends first."""

    def __init__(self, problem: Problem, placement: Placement) -> None:
        self._problem = problem
        self._known: dict[tuple[int, int, int], tuple[FloatArray, FloatArray | None]] = {}
        self._graph = build_graph(problem, placement)
        self._ahead = LeastResponse(problem, placement)

    def __call__(
        self,
        request: Request,
        state: SwarmState,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        """The chain to take, or to wait for; errors as every router."""
        if start_block == 0:
            graph = self._graph
            plain, leave = self._link_cost(request)
            room = state.free_bytes // self._problem.cache_bytes(request.reserved_tokens)
            room = np.where(state.down, 0, room)
            room[list(exclude)] = 0
            links_s = np.where(graph.blocks <= room[graph.server], plain, np.inf)
            links, total = shortest(graph, links_s, leave)
            if links:
                return Decision(route=graph.route(links), cost_s=total)
        return self._ahead(request, state, now_s, start_block=start_block, exclude=exclude)

    def _link_cost(self, request: Request) -> tuple[FloatArray, FloatArray | None]:
        """(E,) seconds of every link for a request, and of the way back; remembered by shape."""
        expected = request.planned_tokens
        key = (request.client, request.prompt_tokens, expected)
        if key not in self._known:
            if len(self._known) > 256:
                self._known.clear()
            cost = hop_cost(self._problem, *key)
            self._known[key] = (
                link_cost_s(self._problem, self._graph, request.client, cost),
                exit_cost_s(self._problem, request.client, cost),
            )
        return self._known[key]
