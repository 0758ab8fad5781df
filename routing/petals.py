"""PETALS' own route choice, with its own constants and its own blind spots.

Facts from the PETALS client (``client/routing/sequence_manager.py``): Dijkstra for one decode
step over (server, block), half RTTs between servers although every hop returns to the client,
18 ms per server entered, and 10 s for a server that seems to lack cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..chains.graph import Graph, build_graph
from ..chains.shortest import shortest
from ..core.content import FloatArray
from ..core.plan import Placement, Route
from ..core.problem import Problem
from ..core.workload import Request
from ..perfmodel.announced import believed_step_run_s
from ..perfmodel.cost import CostModel
from .api import Decision, SwarmView
from .ws_rr import refuse

OVERHEAD_S = 0.018
NO_CACHE_PENALTY_S = 10.0
LONGEST_DELAY_S = 5.0
UNKNOWN_DELAY_S = 0.15

#: ``short``: penalise when the session needs more than what is left, as PETALS does. The other
#: two are the reference simulator's count of free sessions, which goes below zero when requests
#: queue: ``zero`` then forgets the penalty, ``nonpositive`` keeps it.
CachePenalty = Literal["short", "zero", "nonpositive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PetalsRouting:
    """Options of the PETALS client; a router factory.

    Attributes
    ----------
    cache_penalty : how lacking cache is recognised.
    announced_compute : take a block's time from the announced ``inference_rps`` (PETALS) or from
        the profile's decode time (the reference simulator).
    refresh_s : age that the announced cache may have; PETALS refreshes every 60 s, 0 = exact.
    pings : ``true`` = every RTT known; ``partial`` = clients know the servers of the last blocks
        and some of the middle ones, servers know few of each other; the rest counts 0.15 s.
    zero_cost_links : False drops links of cost 0, as the reference's adjacency matrix does.
    seed : of the partial pings.
    """

    cache_penalty: CachePenalty = "short"
    announced_compute: bool = True
    refresh_s: float = 60.0
    pings: Literal["true", "partial"] = "true"
    zero_cost_links: bool = True
    seed: int = 0

    def __call__(self, cost: CostModel, placement: Placement) -> PetalsRouter:
        return PetalsRouter(cost, placement, self)


class PetalsRouter:
    """Routes as a PETALS client would; decisions are remembered per view of the caches."""

    def __init__(self, cost: CostModel, placement: Placement, options: PetalsRouting) -> None:
        self._cost, problem = cost, cost.problem
        self._placement = placement
        self._options = options
        self._graphs: dict[int, Graph] = {}
        self._known: dict[tuple[int, int, bytes], tuple[Route, float]] = {}
        self._view: FloatArray = np.empty(0)
        self._viewed_s = -np.inf
        self._client_delay_s, self._pinged = _known_delays(problem, placement, options)
        self._between_s: dict[int, FloatArray] = {}
        announced = options.announced_compute
        self._run_s = believed_step_run_s(cost) if announced else cost.planned(0).step_run_s

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        lacking = self._lacks_cache(request, view, now_s)
        closed = view.closed(exclude)
        if closed is None:
            closed = np.zeros(len(lacking), dtype=bool)
        key = (request.client, start_block, np.packbits([lacking, closed]).tobytes())
        if key not in self._known:
            if len(self._known) > 4096:
                self._known.clear()
            self._known[key] = self._search(request, start_block, lacking, closed)
        route, cost = self._known[key]
        return Decision(route=route, cost_s=cost)

    def _lacks_cache(self, request: Request, view: SwarmView, now_s: float) -> np.ndarray:
        """(n,) servers that look too full, as the client last saw them."""
        options, spans = self._options, self._placement
        # PETALS counts the whole span of a server, although the request may enter in the middle.
        whole = self._cost.cache_bytes(request.reserved_tokens, spans.start, spans.end)
        if options.cache_penalty != "short":
            pool = spans.cache_bytes // np.maximum(whole, 1)
            held = np.array([view.count_at(j) for j in range(len(view.pool_bytes))])
            free = pool - held
            empty: np.ndarray = free == 0 if options.cache_penalty == "zero" else free <= 0
            return empty
        if now_s - self._viewed_s >= options.refresh_s:
            self._view = view.free_bytes.astype(np.float64)
            self._viewed_s = now_s
        lacking: np.ndarray = whole > self._view
        return lacking

    def _search(
        self, request: Request, start: int, lacking: np.ndarray, closed: np.ndarray
    ) -> tuple[Route, float]:
        if start not in self._graphs:
            # PETALS plans with pairs of servers whatever the data path: always the pair graph.
            graph = build_graph(self._cost, self._placement, start, pairs=True)
            self._graphs[start], self._between_s[start] = graph, self._server_delays_s(graph)
        graph = self._graphs[start]
        j, i = graph.server, graph.previous
        client = self._client_delay_s[request.client]
        cost = np.where(i < 0, client[j], self._between_s[start]) + OVERHEAD_S
        runs = self._run_s(j, graph.origin, graph.end)
        cost = cost + runs + NO_CACHE_PENALTY_S * lacking[j]
        cost[closed[j]] = np.inf
        leave = client.copy()
        if not self._options.zero_cost_links:
            leave[leave == 0] = np.inf
        links, total = shortest(graph, cost, leave)
        if not links:
            refuse(self._cost.problem, request, start, chain_exists=False)
        return graph.route(links), total

    def _server_delays_s(self, graph: Graph) -> FloatArray:
        """(E,) one-way delays between servers that the client assumes; of no meaning after it."""
        j, i = graph.server, graph.previous
        delay: FloatArray = self._cost.problem.network.server_rtt_s[i, j] / 2
        np.minimum(delay, LONGEST_DELAY_S, out=delay)
        if self._pinged is not None:
            delay[~self._pinged[i, j]] = UNKNOWN_DELAY_S
        return delay


def _known_delays(
    problem: Problem, placement: Placement, options: PetalsRouting
) -> tuple[FloatArray, NDArray[np.bool_] | None]:
    """One-way delays that the client assumes of its own ways, (clients, n), and the pairs of
    servers whose delays it knows, (n, n); None = all."""
    client = np.minimum(problem.network.client_rtt_s / 2, LONGEST_DELAY_S)
    if options.pings == "true":
        return client, None
    rng = np.random.default_rng(options.seed)
    client = np.where(_pinged_by_clients(problem, placement, rng), client, UNKNOWN_DELAY_S)
    return client, _pinged_by_servers(placement, rng)


def _pinged_by_clients(
    problem: Problem, placement: Placement, rng: np.random.Generator
) -> np.ndarray:
    """(clients, n): up to 3 servers of the middle blocks and 3 of the last block."""
    length = problem.model.num_blocks
    last = np.flatnonzero((placement.end == length) & (placement.num_blocks > 0))
    inner = np.minimum(placement.end, length - 1) - np.maximum(placement.start, 1)
    # The client draws from the list of servers of every middle block: long spans repeat.
    draws = np.repeat(np.arange(len(inner)), np.maximum(inner, 0))
    known = np.zeros((len(problem.clients), len(inner)), dtype=bool)
    for row in known:
        for pool in (draws, last):
            if len(pool):
                row[rng.choice(pool, size=min(3, len(pool)), replace=False)] = True
    return known


def _pinged_by_servers(placement: Placement, rng: np.random.Generator) -> np.ndarray:
    """(n, n): up to 5 servers that share its later blocks and 5 that begin where it ends."""
    start, end = placement.start, placement.end
    known = np.zeros((len(start), len(start)), dtype=bool)
    for j in range(len(start)):
        inside = np.flatnonzero((start < end[j]) & (end > start[j] + 1))
        after = np.flatnonzero((start <= end[j]) & (end > end[j]))
        for pool in (inside, after):
            others = pool[pool != j]
            if len(others):
                known[j, rng.choice(others, size=min(5, len(others)), replace=False)] = True
    return known
