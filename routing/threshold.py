"""Per-request optimum on a given placement: least time plus the longest wait of the chain.

WS-RR adds up the waits of a chain although they pass at the same time. This router minimises
``sum T_ij + max w_ij`` exactly: for every distinct wait w, the shortest chain over the links that
are free within w costs at most its time plus w, and the best of these is the optimum. It is the
paper's per-request programme (its ablation "Opt RR") without a solver.
"""

from __future__ import annotations

import numpy as np

from ..core.plan import Placement
from ..core.problem import Problem
from ..core.workload import Request
from ..perfmodel.latency import HopCosts
from ..perfmodel.shortest import Graph, build_graph, exit_cost_s, link_cost_s, shortest
from .api import Decision
from .state import SwarmState
from .ws_rr import LinkWaits, refuse


class LeastResponse:
    """Router: the chain with the least completion time if nothing else arrives."""

    def __init__(self, problem: Problem, placement: Placement) -> None:
        self._problem = problem
        self._placement = placement
        self._costs = HopCosts(problem)
        self._graphs: dict[int, tuple[Graph, LinkWaits]] = {}

    def __call__(
        self,
        request: Request,
        state: SwarmState,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        graph, waits = self._graph(start_block)
        expected = request.planned_tokens
        cost = self._costs(request.client, request.prompt_tokens, expected)
        links_s = link_cost_s(self._problem, graph, request.client, cost)
        leave = exit_cost_s(self._problem, request.client, cost)
        closed = state.down.copy()
        closed[list(exclude)] = True
        links_s = np.where(closed[graph.server], np.inf, links_s)
        each = self._problem.cache_bytes(request.reserved_tokens)
        wait = np.maximum(waits.ready_s(state, each) - now_s, 0.0)
        best: tuple[list[int], float] = ([], float("inf"))
        for limit in np.unique(wait[np.isfinite(wait)]).tolist():
            if limit >= best[1]:
                break  # longer waits cannot pay any more
            links, total = shortest(graph, np.where(wait <= limit, links_s, np.inf), leave)
            if links:
                whole = total + float(wait[links].max())
                if whole < best[1]:
                    best = links, whole
        if not best[0]:
            exists = bool(shortest(graph, links_s, leave)[0])
            refuse(self._problem, request, start_block, chain_exists=exists)
        return Decision(route=graph.route(best[0]), cost_s=best[1])

    def _graph(self, start: int) -> tuple[Graph, LinkWaits]:
        if start not in self._graphs:
            graph = build_graph(self._problem, self._placement, start)
            self._graphs[start] = graph, LinkWaits(graph, self._problem.num_servers)
        return self._graphs[start]
