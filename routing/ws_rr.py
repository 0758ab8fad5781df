"""WS-RR: waiting-penalised shortest-path request routing (arXiv 2512.21884; docs/model.md)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..chains.graph import Graph, build_graph, request_costs_s
from ..chains.shortest import shortest
from ..core.content import FloatArray, IntArray
from ..core.errors import NoRouteError, RequestTooLargeError
from ..core.plan import Placement
from ..core.problem import Problem
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .api import Decision, SwarmView

#: Decisions over a graph from which on they are compiled, and what leaving a chain costs mostly.
OFTEN, NOTHING = 200, np.zeros(0)
#: (E,) seconds of every link, and (n,) of leaving or None.
Costs = tuple[FloatArray, FloatArray | None]


class LinkWaits:
    """When each link of a graph is free for a session size, kept up to date server by server.

    The instant does not depend on the clock, only on the reservations of one server, so between
    two decisions only the servers whose ``version`` moved are looked at again.
    """

    def __init__(self, cost: CostModel, graph: Graph) -> None:
        self._cost, self._graph = cost, graph
        servers = cost.problem.num_servers
        self._hosts = np.array(sorted(graph.by_server), dtype=np.int64)
        #: distinct blocks at which a server is entered, the last first: by increasing need.
        self._origins: dict[int, tuple[IntArray, IntArray]] = {}
        self._first, self._end = (np.zeros(servers, dtype=np.int64) for _ in range(2))
        for j, links in graph.by_server.items():
            later, inverse = np.unique(-graph.origin[links], return_inverse=True)
            self._origins[j] = (-later, inverse)
            if len(later):
                self._first[j], self._end[j] = -later[-1], graph.end[links.start]
        self._finish_s = np.full(len(graph.server), -np.inf)
        self._step_s = np.zeros(len(graph.server))
        self._seen = np.full(servers, -1, dtype=np.int64)
        self._late = np.zeros(servers, dtype=bool)  # without room for a session on all their blocks
        self._tokens = -1
        self._whole_bytes = np.zeros(servers, dtype=np.int64)

    def waits_s(self, view: SwarmView, tokens: int, now_s: float) -> FloatArray:
        """(E,) seconds until cache for ``tokens`` tokens is expected to be free."""
        self._look(view, tokens)
        finish_s = self._finish_s
        wait: FloatArray = np.where(finish_s > now_s, finish_s - now_s, self._step_s)
        return wait

    def _look(self, view: SwarmView, tokens: int) -> None:
        """Look again at the servers whose reservations changed, or at all for another size."""
        hosts = self._hosts
        if tokens != self._tokens:
            # Another size: most servers have room for it, only the others are looked at.
            self._tokens = tokens
            self._whole_bytes = self._cost.cache_bytes(tokens, self._first, self._end)
            self._seen[hosts] = view.version[hosts]
            self._finish_s.fill(-np.inf)
            self._step_s.fill(0.0)
            self._late.fill(False)
            stale = hosts[self._whole_bytes[hosts] > view.free_bytes[hosts]]
        else:
            moved = hosts[view.version[hosts] != self._seen[hosts]]
            self._seen[moved] = view.version[moved]
            full = self._whole_bytes[moved] > view.free_bytes[moved]
            stale = moved[full | self._late[moved]]
        for j in stale.tolist():
            origins, inverse = self._origins[j]
            links = self._graph.by_server[j]
            self._late[j] = self._whole_bytes[j] > view.free_bytes[j]
            if len(origins) and not self._late[j]:
                self._finish_s[links], self._step_s[links] = -np.inf, 0.0
                continue
            needs = self._cost.cache_bytes(tokens, origins, self._end[j])
            ready = np.array(view.ready_many(j, needs.tolist()))[inverse]
            self._finish_s[links], self._step_s[links] = ready[:, 0], ready[:, 1]


class WaitGraphs:
    """The routing graph from a block on, and when its links are free; each made once."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost, self._placement = cost, placement
        self._known: dict[int, tuple[Graph, LinkWaits]] = {}

    def __call__(self, start: int) -> tuple[Graph, LinkWaits]:
        """From this block on."""
        if start not in self._known:
            graph = build_graph(self._cost, self._placement, start)
            self._known[start] = graph, LinkWaits(self._cost, graph)
        return self._known[start]


class Chains:
    """The cheapest chain over a graph, by compiled code once it was asked for often.

    The same as ``chains.shortest`` finds, ties included.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph, self._asked = graph, 0
        self._do: Any = None  # the compiled part: numba takes a while to load
        self._path = np.empty(graph.num_nodes, dtype=np.int64)

    def __call__(self, cost_s: FloatArray, leave_s: FloatArray | None) -> tuple[list[int], float]:
        """Its links and its cost; no links where there is none."""
        self._asked += 1
        if self._do is None and self._asked > OFTEN:
            from ..chains import sweep

            self._do, self._net = sweep, sweep.net_of(self._graph)
        if self._do is None:
            return shortest(self._graph, cost_s, leave_s)
        self._net.link["cost_s"] = cost_s
        gone = NOTHING if leave_s is None else leave_s
        last, total = self._do.sweep(self._net, gone, False)
        if last == -2:
            return [], math.inf
        return self._path[: self._do.walk_back(self._net, last, self._path)].tolist(), float(total)


class WsRr:
    """Online router: link cost = time until the link is free + time of the request on it.

    The cost sums the waits of all hops although they pass at the same time (Corollary 2: it is
    an upper bound of the completion time); with enough memory all waits are 0 and the route is
    optimal for the placement.

    The request's length is the expected one, its wait that of its reservation; the true length is
    not looked at.
    """

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost = cost
        self._graph = WaitGraphs(cost, placement)
        self._plain: dict[tuple[int, int, int, int], Costs] = {}
        self._chains: dict[int, Chains] = {}

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
        plain, leave = self._costs(graph, request)
        cost = waits.waits_s(view, request.reserved_tokens, now_s)
        cost += plain
        closed = view.closed(exclude)
        if closed is not None:
            cost[closed[graph.server]] = np.inf
        if start_block not in self._chains:
            self._chains[start_block] = Chains(graph)
        cheapest = self._chains[start_block]
        links, total = cheapest(cost, leave)
        if not links:
            idle = plain if closed is None else np.where(closed[graph.server], np.inf, plain)
            exists = bool(cheapest(idle, leave)[0])
            refuse(self._cost.problem, request, graph.start, chain_exists=exists)
        return Decision(route=graph.route(links), cost_s=total)

    def _costs(self, graph: Graph, request: Request) -> Costs:
        key = (graph.start, request.client, request.prompt_tokens, request.planned_tokens)
        known = self._plain.get(key)
        if known is None:
            if len(self._plain) > 256:
                self._plain.clear()
            shape = self._cost.shape(*key[1:])
            known = self._plain[key] = request_costs_s(self._cost, graph, shape)
        return known


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
