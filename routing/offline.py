"""Routes that are planned ahead: the fastest chain, and chains for R sessions at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..chains.graph import Graph, build_graph, request_costs_s, session_bytes, step_costs_s
from ..chains.shortest import shortest
from ..chains.within import cheapest_within
from ..core.content import FloatArray
from ..core.errors import NoRouteError, RequestTooLargeError
from ..core.names import block_ranges
from ..core.plan import Placement, PlannedRoute
from ..core.workload import Demand, Request
from ..perfmodel.cost import CostModel
from .api import Decision, SwarmView
from .ws_rr import refuse


class Shortest:
    """Router that ignores load: the chain with the least whole-request time.

    Optimal for the placement when caches never bind (docs/model.md, Lemma 3 of the paper).
    """

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost = cost
        self._placement = placement
        self._graphs: dict[int, Graph] = {}

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        if start_block not in self._graphs:
            self._graphs[start_block] = build_graph(self._cost, self._placement, start_block)
        graph = self._graphs[start_block]
        shape = self._cost.shape(request.client, request.prompt_tokens, request.planned_tokens)
        links_s, leave = request_costs_s(self._cost, graph, shape)
        closed = view.closed(exclude)
        if closed is not None:
            links_s = np.where(closed[graph.server], np.inf, links_s)
        need = session_bytes(self._cost, graph, request.reserved_tokens)
        room = need <= view.pool_bytes[graph.server]
        links, total = shortest(graph, np.where(room, links_s, np.inf), leave)
        if not links:
            exists = bool(shortest(graph, links_s, leave)[0])
            refuse(self._cost.problem, request, start_block, chain_exists=exists)
        return Decision(route=graph.route(links), cost_s=total)


def best_routes(
    cost: CostModel, placement: Placement, demand: Sequence[Demand]
) -> tuple[tuple[PlannedRoute, ...], dict[int, int]]:
    """Chains for all sessions of the demand at once, within every server's cache pool.

    Successive shortest chains by decode step time: each round gives the client with the most
    unplanned sessions its fastest chain that still has room, with as many sessions as fit.
    Optimal while caches do not bind (one round per client); a heuristic beyond.

    Returns
    -------
    The routes, and by client the sessions that find no room beside the others.

    Raises
    ------
    NoRouteError
        If some client has no chain at all.
    RequestTooLargeError
        If not even one session of a client fits.
    """
    graph = build_graph(cost, placement)
    free = placement.cache_bytes.copy()
    left = {d.client: d.sessions for d in demand}
    tokens = {d.client: d.cache_tokens for d in demand}
    planned: list[PlannedRoute] = []
    full: dict[int, int] = {}
    harm = cost.harm(graph.server, graph.origin, graph.end)
    while left:
        client = max(left, key=lambda c: (left[c], -c))
        steps, leave = step_costs_s(cost, graph, cost.planned(client))
        room = session_bytes(cost, graph, tokens[client]) <= free[graph.server]
        able = np.where(room, steps, np.inf)
        links, _ = cheapest_within(graph, able, harm, float(cost.budgets[client]), leave)
        if not links:
            if all(p.client != client for p in planned):
                _refuse(cost, placement, graph, client, steps, leave)
            full[client] = left.pop(client)
            continue
        route = graph.route(links)
        need = [int(cost.cache_bytes(tokens[client], h.start, h.end)) for h in route.hops]
        held = list(zip(route.servers, need, strict=True))
        taken = min(left[client], *(int(free[j]) // each for j, each in held))
        for j, each in held:
            free[j] -= taken * each
        planned.append(PlannedRoute(client=client, sessions=taken, route=route))
        left[client] -= taken
        if not left[client]:
            del left[client]
    planned.sort(key=lambda p: p.client)
    return tuple(planned), dict(sorted(full.items()))


def _refuse(
    cost: CostModel,
    placement: Placement,
    graph: Graph,
    client: int,
    steps: FloatArray,
    leave: FloatArray | None,
) -> None:
    """No room for the first session: say whether a chain exists at all."""
    name = cost.problem.clients[client].id
    if not shortest(graph, steps, leave)[0]:
        missing = np.flatnonzero(placement.coverage(cost.num_blocks) == 0).tolist()
        raise NoRouteError(
            f"client {name!r} has no chain: no server hosts blocks "
            f"{', '.join(block_ranges(missing))}"
        )
    harm = cost.harm(graph.server, graph.origin, graph.end)
    if not cheapest_within(graph, steps, harm, float(cost.budgets[client]), leave)[0]:
        raise NoRouteError(f"client {name!r} has no chain within its accuracy budget")
    raise RequestTooLargeError(
        f"not one session of client {name!r} ({cost.problem.planning.session_tokens} cache tokens) "
        "fits beside the others on any chain: reserve fewer tokens per session, plan fewer "
        "sessions, or place fewer blocks per server"
    )
