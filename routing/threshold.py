"""Per-request optimum on a given placement: least time plus the longest wait of the chain.

WS-RR adds up the waits of a chain although they pass at the same time. This router minimises
``sum T_ij + max w_ij`` exactly: for every distinct wait w, the shortest chain over the links that
are free within w costs at most its time plus w, and the best of these is the optimum. It is the
paper's per-request programme (its ablation "Opt RR") without a solver.
"""

from __future__ import annotations

import numpy as np

from ..chains.graph import request_costs_s
from ..chains.shortest import shortest
from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .api import Decision, SwarmView
from .ws_rr import WaitGraphs, refuse


class LeastResponse:
    """Router: the chain with the least completion time if nothing else arrives."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost = cost
        self._graph = WaitGraphs(cost, placement)

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        graph, waits = self._graph(start_block)
        shape = self._cost.shape(request.client, request.prompt_tokens, request.planned_tokens)
        links_s, leave = request_costs_s(self._cost, graph, shape)
        closed = view.closed(exclude)
        if closed is not None:
            links_s = np.where(closed[graph.server], np.inf, links_s)
        wait = waits.waits_s(view, request.reserved_tokens, now_s)
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
            refuse(self._cost.problem, request, start_block, chain_exists=exists)
        return Decision(route=graph.route(best[0]), cost_s=best[1])
