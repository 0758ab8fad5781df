"""PETALS' own route choice, with its own constants and its own blind spots.

Facts from the PETALS client (``client/routing/sequence_manager.py``): Dijkstra for one decode
step over (server, block), half RTTs between servers although every hop returns to the client,
18 ms per server entered, and 10 s for a server that seems to lack cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.plan import Placement, Route
from ..core.problem import FloatArray, Problem
from ..core.workload import Request
from ..perfmodel.latency import step_block_s
from ..perfmodel.shortest import Graph, build_graph, shortest
from .api import Decision
from .state import SwarmState
from .ws_rr import refuse

OVERHEAD_S = 0.018
NO_CACHE_PENALTY_S = 10.0
LONGEST_DELAY_S = 5.0
UNKNOWN_DELAY_S = 0.15
UNKNOWN_RPS = 300.0

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

    def __call__(self, problem: Problem, placement: Placement) -> PetalsRouter:
        return PetalsRouter(problem, placement, self)


class PetalsRouter:
    """Routes as a PETALS client would; decisions are remembered per view of the caches."""

    def __init__(self, problem: Problem, placement: Placement, options: PetalsRouting) -> None:
        self._problem = problem
        self._placement = placement
        self._options = options
        self._graphs: dict[int, Graph] = {}
        self._known: dict[tuple[int, int, bytes], tuple[Route, float]] = {}
        self._view: FloatArray = np.empty(0)
        self._viewed_s = -np.inf
        self._client_delay_s, self._server_delay_s = _delays_s(problem, placement, options)
        self._block_s = _block_s(problem, announced=options.announced_compute)

    def __call__(
        self,
        request: Request,
        state: SwarmState,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        lacking = self._lacks_cache(request, state, now_s)
        closed = state.down.copy()
        closed[list(exclude)] = True
        key = (request.client, start_block, np.packbits([lacking, closed]).tobytes())
        if key not in self._known:
            if len(self._known) > 4096:
                self._known.clear()
            self._known[key] = self._search(request, start_block, lacking, closed)
        route, cost = self._known[key]
        return Decision(route=route, cost_s=cost)

    def _lacks_cache(self, request: Request, state: SwarmState, now_s: float) -> np.ndarray:
        """(n,) servers that look too full, as the client last saw them."""
        options = self._options
        if options.cache_penalty != "short":
            whole = self._problem.cache_bytes(request.reserved_tokens) * self._placement.num_blocks
            pool = self._placement.cache_bytes // np.maximum(whole, 1)
            held = np.array([state.count_at(j) for j in range(len(state.pool_bytes))])
            free = pool - held
            empty: np.ndarray = free == 0 if options.cache_penalty == "zero" else free <= 0
            return empty
        if now_s - self._viewed_s >= options.refresh_s or not len(self._view):
            self._view = state.free_bytes.astype(np.float64)
            self._viewed_s = now_s
        # PETALS counts the whole span of a server, although the request may enter in the middle.
        need = self._problem.cache_bytes(request.reserved_tokens) * self._placement.num_blocks
        lacking: np.ndarray = need > self._view
        return lacking

    def _search(
        self, request: Request, start: int, lacking: np.ndarray, closed: np.ndarray
    ) -> tuple[Route, float]:
        if start not in self._graphs:
            # PETALS plans with pairs of servers whatever the data path: always the pair graph.
            self._graphs[start] = build_graph(self._problem, self._placement, start, pairs=True)
        graph = self._graphs[start]
        assert graph.previous is not None
        j, i = graph.server, graph.previous
        client = self._client_delay_s[request.client]
        cost = np.where(i < 0, client[j], self._server_delay_s[i, j]) + OVERHEAD_S
        cost = cost + self._block_s[j] * graph.blocks + NO_CACHE_PENALTY_S * lacking[j]
        cost[closed[j]] = np.inf
        leave = client.copy()
        if not self._options.zero_cost_links:
            leave[leave == 0] = np.inf
        links, total = shortest(graph, cost, leave)
        if not links:
            refuse(self._problem, request, start, chain_exists=False)
        return graph.route(links), total


def _block_s(problem: Problem, *, announced: bool) -> FloatArray:
    """(n,) seconds per block and token that the client believes."""
    if not announced:
        plan = problem.planning
        return step_block_s(problem, plan.prompt_tokens + 0.5 * plan.output_tokens)
    rps = [s.inference_rps if s.inference_rps else UNKNOWN_RPS for s in problem.servers]
    return 1.0 / np.array(rps)


def _delays_s(
    problem: Problem, placement: Placement, options: PetalsRouting
) -> tuple[FloatArray, FloatArray]:
    """One-way delays that the client assumes: (clients, n) and (n, n)."""
    client = np.minimum(problem.network.client_rtt_s / 2, LONGEST_DELAY_S)
    server = np.minimum(problem.network.server_rtt_s / 2, LONGEST_DELAY_S)
    if options.pings == "partial":
        rng = np.random.default_rng(options.seed)
        client = np.where(_pinged_by_clients(problem, placement, rng), client, UNKNOWN_DELAY_S)
        server = np.where(_pinged_by_servers(placement, rng), server, UNKNOWN_DELAY_S)
    return client, server


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
