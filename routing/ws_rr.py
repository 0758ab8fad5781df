"""WS-RR: waiting-penalised shortest-path request routing (arXiv 2512.21884; docs/model.md)."""

from __future__ import annotations

import numpy as np

from ..core.errors import NoRouteError, RequestTooLargeError
from ..core.plan import Placement
from ..core.problem import FloatArray, IntArray, Problem
from ..core.workload import Request
from ..perfmodel.latency import HopCosts
from ..perfmodel.shortest import Graph, build_graph, exit_cost_s, link_cost_s, shortest
from .api import Decision
from .state import SwarmState


class LinkWaits:
    """When each link of a graph is free for a session size, kept up to date server by server.

    The instant does not depend on the clock, only on the reservations of one server, so between
    two decisions only the servers whose ``version`` moved are looked at again.
    """

    def __init__(self, graph: Graph, servers: int) -> None:
        self._graph = graph
        self._hosts = np.array(sorted(graph.by_server), dtype=np.int64)
        self._blocks: dict[int, tuple[list[int], IntArray]] = {}
        self._most = np.zeros(servers, dtype=np.int64)
        for j, links in graph.by_server.items():
            unique, inverse = np.unique(graph.blocks[links], return_inverse=True)
            self._blocks[j] = (unique.tolist(), inverse)
            self._most[j] = unique[-1] if len(unique) else 0
        self._ready_s = np.full(len(graph.server), -np.inf)
        self._seen = np.full(servers, -1, dtype=np.int64)
        self._each = -1

    def ready_s(self, state: SwarmState, each_bytes: int) -> FloatArray:
        """(E,) instant from which ``each_bytes`` per block are free; -inf = already."""
        hosts = self._hosts
        if each_bytes != self._each:
            # Another size: most servers have room for it, only the others are looked at.
            self._each = each_bytes
            self._seen[hosts] = state.version[hosts]
            self._ready_s.fill(-np.inf)
            stale = hosts[self._most[hosts] * each_bytes > state.free_bytes[hosts]]
        else:
            stale = hosts[state.version[hosts] != self._seen[hosts]]
        for j in stale.tolist():
            blocks, inverse = self._blocks[j]
            self._seen[j] = state.version[j]
            links = self._graph.by_server[j]
            if blocks and blocks[-1] * each_bytes <= state.free_bytes[j]:
                self._ready_s[links] = -np.inf
                continue
            ready = state.ready_many_s(j, [k * each_bytes for k in blocks], -np.inf)
            self._ready_s[links] = np.array(ready)[inverse]
        return self._ready_s


class WsRr:
    """Online router: link cost = time until the link is free + time of the request on it.

    The cost sums the waits of all hops although they pass at the same time (Corollary 2: it is
    an upper bound of the completion time); with enough memory all waits are 0 and the route is
    optimal for the placement.

    The request's length is the expected one, its wait that of its reservation; the true length is
    not looked at.
    """

    def __init__(self, problem: Problem, placement: Placement) -> None:
        self._problem = problem
        self._placement = placement
        self._costs = HopCosts(problem)
        self._plain: dict[tuple[int, int, int, int], FloatArray] = {}
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
        plain = self._link_cost(graph, request)
        each = self._problem.cache_bytes(request.reserved_tokens)
        wait = waits.ready_s(state, each) - now_s
        cost = np.maximum(wait, 0.0)
        cost += plain
        closed = _closed(state, exclude)
        if closed is not None:
            cost[closed[graph.server]] = np.inf
        leave = self._leave(request)
        links, total = shortest(graph, cost, leave)
        if not links:
            self._refuse(request, graph, plain, closed, leave)
        return Decision(route=graph.route(links), cost_s=total)

    def _graph(self, start: int) -> tuple[Graph, LinkWaits]:
        if start not in self._graphs:
            graph = build_graph(self._problem, self._placement, start)
            self._graphs[start] = graph, LinkWaits(graph, self._problem.num_servers)
        return self._graphs[start]

    def _link_cost(self, graph: Graph, request: Request) -> FloatArray:
        expected = request.planned_tokens
        key = (graph.start, request.client, request.prompt_tokens, expected)
        plain = self._plain.get(key)
        if plain is None:
            if len(self._plain) > 256:
                self._plain.clear()
            cost = self._costs(request.client, request.prompt_tokens, expected)
            plain = self._plain[key] = link_cost_s(self._problem, graph, request.client, cost)
        return plain

    def _leave(self, request: Request) -> FloatArray | None:
        expected = request.planned_tokens
        cost = self._costs(request.client, request.prompt_tokens, expected)
        return exit_cost_s(self._problem, request.client, cost)

    def _refuse(
        self,
        request: Request,
        graph: Graph,
        plain: FloatArray,
        closed: np.ndarray | None,
        leave: FloatArray | None,
    ) -> None:
        open_cost = plain if closed is None else np.where(closed[graph.server], np.inf, plain)
        links, _ = shortest(graph, open_cost, leave)
        refuse(self._problem, request, graph.start, chain_exists=bool(links))


def _closed(state: SwarmState, exclude: frozenset[int]) -> np.ndarray | None:
    """(n,) servers that must not be used, or None when all may."""
    if not exclude and not state.down.any():
        return None
    closed = state.down.copy()
    closed[list(exclude)] = True
    return closed


def refuse(problem: Problem, request: Request, start: int, *, chain_exists: bool) -> None:
    """Raise the error that says why a request has no route."""
    client = problem.clients[request.client].id
    if chain_exists:
        raise RequestTooLargeError(
            f"request {request.id} of client {client!r} reserves {request.reserved_tokens} tokens "
            "of attention cache, more than some server on every chain can ever hold: shorten it, "
            "or place fewer blocks per server"
        )
    raise NoRouteError(
        f"no chain of running servers leads client {client!r} from block {start} to block "
        f"{problem.model.num_blocks}: some block is not hosted"
    )
