"""Routes that are planned ahead: the fastest chain, and chains for R sessions at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..chains.graph import Graph, build_graph, request_costs_s, session_bytes, step_costs_s
from ..chains.shortest import shortest
from ..chains.within import cheapest_within
from ..core.errors import NoRouteError, RequestTooLargeError
from ..core.names import block_ranges
from ..core.plan import Placement, PlannedRoute, Route
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
    while left:
        client = max(left, key=lambda c: (left[c], -c))
        room = session_bytes(cost, graph, tokens[client]) <= free[graph.server]
        room &= able_links(cost, graph, client)
        route = _fastest(cost, graph, client, room)
        if route is None:
            if all(p.client != client for p in planned):
                _refuse(cost, placement, graph, client)
            full[client] = left.pop(client)
            continue
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


def able_links(cost: CostModel, graph: Graph, client: int) -> NDArray[np.bool_]:
    """(E,) links into servers that load the client's adapter."""
    able: NDArray[np.bool_] = ~np.isin(graph.server, list(cost.lacking[client]))
    return able


def _fastest(cost: CostModel, graph: Graph, client: int, able: NDArray[np.bool_]) -> Route | None:
    """The chain with the least time per token on links that are able; None where there is none.

    The best of all chains without drafts stands beside the best of those where sessions can take
    tokens back, with them.
    """
    harm, budget = cost.harm(graph.server, graph.origin, graph.end), float(cost.budgets[client])
    stuck = cost.problem.forward_only if cost.problem.drafts[client].tokens else frozenset()
    ways = [(cost, able & ~np.isin(graph.server, list(stuck)))]
    if stuck:
        ways.append((cost.undrafted, able))
    found = []
    for paid, links_able in ways:
        steps, leave = step_costs_s(paid, graph, paid.planned(client))
        links, _ = cheapest_within(graph, np.where(links_able, steps, np.inf), harm, budget, leave)
        if links:
            found.append(graph.route(links))
    return min(found, key=lambda r: cost.step_s(r, cost.planned(client, r)), default=None)


def _refuse(cost: CostModel, placement: Placement, graph: Graph, client: int) -> None:
    """No room for the first session: say whether a chain exists at all."""
    steps, leave = step_costs_s(cost, graph, cost.planned(client))
    name = cost.problem.clients[client].id
    if not shortest(graph, steps, leave)[0]:
        missing = np.flatnonzero(placement.coverage(cost.num_blocks) == 0).tolist()
        raise NoRouteError(
            f"client {name!r} has no chain: no server hosts blocks "
            f"{', '.join(block_ranges(missing))}"
        )
    steps = np.where(able_links(cost, graph, client), steps, np.inf)
    if not shortest(graph, steps, leave)[0]:
        adapter = cost.problem.clients[client].adapter
        able = f"load {adapter!r}" if adapter else "serve it"
        raise NoRouteError(f"client {name!r} has no chain of servers that {able}")
    harm = cost.harm(graph.server, graph.origin, graph.end)
    if not cheapest_within(graph, steps, harm, float(cost.budgets[client]), leave)[0]:
        raise NoRouteError(f"client {name!r} has no chain within its accuracy budget")
    raise RequestTooLargeError(
        f"not one session of client {name!r} ({cost.problem.planning.session_tokens} cache tokens) "
        "fits beside the others on any chain: reserve fewer tokens per session, plan fewer "
        "sessions, or place fewer blocks per server"
    )
