"""Chains that a placement can serve, and how many sessions fit each (GCA).

Greedy cache allocation after arXiv 2604.14993; docs/model.md section 10.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.content import ByContent, FloatArray, IntArray, frozen_array
from ..core.plan import Placement, Route
from ..core.problem import Problem
from ..core.workload import Mix
from ..perfmodel.cost import CostModel
from ..perfmodel.hops import HopCost
from ..perfmodel.runs import Runs
from .graph import Graph
from .shortest import shortest

if TYPE_CHECKING:
    from .sweep import Net

#: With more servers that host something chains are looked for by compiled code.
MANY_SERVERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A route with the cache of ``capacity`` concurrent sessions set aside for it.

    ``service_time_s`` is the time of the representative request on it, averaged over the clients
    by their request rates; its inverse is the service rate mu of one session.
    """

    route: Route
    capacity: int
    service_time_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JobCosts(ByContent):
    """Whole-request times of the representative request from the mean client.

    Attributes
    ----------
    hop_s : (n,) total communication time with each server, tau^c, averaged over the clients.
    run_s : total compute time of runs of blocks at each server, tau^p.
    shares : (clients,) weights of that average.
    by_client : what each client pays.
    """

    hop_s: FloatArray
    run_s: Runs
    shares: FloatArray
    by_client: tuple[HopCost, ...]


def client_shares(problem: Problem) -> FloatArray:
    """(clients,) share of the requests that each client sends; equal when there is no load."""
    rates = np.zeros(len(problem.clients))
    if problem.workload.trace:
        np.add.at(rates, [r.client for r in problem.workload.trace], 1.0)
    else:
        for stream in problem.workload.classes:
            rates[stream.client] += stream.rate_per_s
    if not rates.sum() > 0:
        rates[:] = 1.0
    return frozen_array(rates / rates.sum(), np.float64)


def job_costs(cost: CostModel, mix: Mix | None = None) -> JobCosts:
    """Costs that compose chains.

    Parameters
    ----------
    mix : whose clients count; those of the workload when left out.

    Notes
    -----
    The theory knows a single ingress and hub-and-spoke relay. With several clients the
    communication times are averaged by request rate, so the chains suit the mean request; a
    simulation prices every request from its own client. Under server relay chains are still
    composed at hub-and-spoke prices, but their service times are those of the relay.
    """
    shares = client_shares(cost.problem)
    if mix is not None:
        shares = frozen_array(np.bincount(mix.client, mix.share, len(shares)), np.float64)
    costs = tuple(cost.planned(c) for c in range(len(shares)))
    hop = np.sum([share * paid.hop_s for share, paid in zip(shares, costs, strict=True)], axis=0)
    return JobCosts(
        hop_s=frozen_array(hop, np.float64),
        run_s=costs[0].run_s,
        shares=shares,
        by_client=costs,
    )


def mean_service_s(cost: CostModel, route: Route, jobs: JobCosts) -> float:
    """Time of the representative request on a route, averaged over the clients, seconds."""
    if not cost.relaying.pairs:
        hop, run = jobs.hop_s, jobs.run_s
        return float(sum(hop[h.server] + run(h.server, h.start, h.end) for h in route.hops))
    return float(
        sum(
            share * cost.route_time(route, paid).total_s
            for share, paid in zip(jobs.shares, jobs.by_client, strict=True)
        )
    )


def total_service_rate(chains: Sequence[Chain]) -> float:
    """Requests per second that the chains have caches for, nu = sum of capacity / service time."""
    return float(sum(chain.capacity / chain.service_time_s for chain in chains))


def bearable_per_s(cost: CostModel, chains: Sequence[Chain]) -> float:
    """Requests per second that the chains bear, in caches and in compute, used in proportion.

    A server that works on one task at a time computes for a second in a second: where the chains
    at their full rates ask for more of one, all of them are slowed down alike. Requests are the
    representative ones.
    """
    busy, run_s = np.zeros(cost.problem.num_servers), cost.planned(0).run_s
    for chain in chains:
        rate = chain.capacity / chain.service_time_s
        for h in chain.route.hops:
            busy[h.server] += rate * run_s(h.server, h.start, h.end)
    return total_service_rate(chains) / max(1.0, float(busy[cost.serial].max(initial=0.0)))


def gca(cost: CostModel, placement: Placement) -> tuple[Chain, ...]:
    """Greedy cache allocation: chains and capacities on any placement, fastest first.

    Takes the fastest chain that still has cache, gives it all the sessions that fit, takes their
    cache away, and repeats until no chain is left.

    Parameters
    ----------
    cost : sessions are those of the planning figures.
    placement : its cache pools are what is given away.

    Returns
    -------
    Chains by increasing service time; empty when no session fits any route.
    """
    jobs = job_costs(cost)
    graph = _Table(cost, placement, jobs)
    found: list[Chain] = []
    while (route := graph.fastest()) is not None:
        capacity = graph.take(route)
        seconds = mean_service_s(cost, route, jobs)
        found.append(Chain(route=route, capacity=capacity, service_time_s=seconds))
    return tuple(sorted(found, key=lambda chain: chain.service_time_s))


class _Table:
    """Shortest chains over block positions while cache runs out.

    At hub-and-spoke prices a hop into ``j`` costs the same wherever the session comes from. So for
    every pair of positions the graph has one link: the cheapest server that still takes a session
    from one to the other, its span ending there.
    """

    def __init__(self, cost: CostModel, placement: Placement, jobs: JobCosts) -> None:
        self._cost, self._jobs = cost, jobs
        self._free = np.minimum(placement.cache_bytes, cost.most_cache_bytes)
        held = placement.end > placement.start
        self._tokens = cost.problem.planning.session_tokens
        #: first block from which each server takes a session to its end; the end itself: none.
        self._first = np.maximum(placement.start, self._entry(self._free, placement.end))
        self._ending: dict[int, IntArray] = {}
        self._links: dict[int, slice] = {}
        rows: list[tuple[int, int]] = []
        for end in np.unique(placement.end[held]).tolist():
            self._ending[end] = np.flatnonzero((placement.end == end) & held)
            self._links[end] = slice(len(rows), len(rows) + end)
            rows += [(start, end) for start in range(end)]
        origin, to = np.array(rows, dtype=np.int64).reshape(-1, 2).T.copy()
        self._graph = Graph(
            start=0,
            num_nodes=cost.num_blocks + 1,
            source=0,
            server=np.full(len(rows), -1, dtype=np.int64),
            origin=origin,
            end=to,
            previous=np.full(len(rows), -1, dtype=np.int64),
            tail=origin,
            merged=True,
            groups=tuple(self._links.items()),
            finals=(cost.num_blocks,),
            by_server={},
        )
        self._price = np.full(len(rows), np.inf)
        self._net: Net | None = None
        for end in self._ending:
            self._choose(end, np.arange(end))
        if int(held.sum()) > MANY_SERVERS:
            from .sweep import net_of

            self._net = net_of(self._graph)
            self._net.link["cost_s"] = self._price

    def _entry(self, free_bytes: Any, end: Any) -> Any:
        """First block from which a session fits on servers with so much cache left."""
        return self._cost.earliest_block(self._tokens, free_bytes, end)

    def _choose(self, end: int, starts: IntArray) -> None:
        """Find the cheapest server again for hops from ``starts`` to ``end``."""
        rows, jobs = self._ending[end][:, None], self._jobs
        table = jobs.hop_s[rows] + jobs.run_s(rows, starts, end)
        table[starts < self._first[rows]] = np.inf
        best = np.argmin(table, axis=0)  # ties: lowest index, as rows are in server order
        links = self._links[end].start + starts
        self._price[links] = table[best, np.arange(len(starts))]
        self._graph.server[links] = self._ending[end][best]
        if self._net is not None:
            self._net.link["cost_s"][links] = self._price[links]
            self._net.link["server"][links] = self._graph.server[links]

    def fastest(self) -> Route | None:
        """The cheapest chain with at least one free session, None when there is none."""
        links = shortest(self._graph, self._price)[0] if self._net is None else self._swept()
        return self._graph.route(links) if links else None

    def _swept(self) -> list[int]:
        """The same links, by the compiled sweep."""
        from .sweep import sweep, walk_back  # numba takes a while to load

        assert self._net is not None
        path = np.empty(self._graph.num_nodes, dtype=np.int64)
        last, _ = sweep(self._net, np.zeros(0), False)
        return [] if last == -2 else path[: walk_back(self._net, last, path)].tolist()

    def take(self, route: Route) -> int:
        """Give the route every session that fits, and return how many."""
        need = [int(self._cost.session_bytes(h.start, h.end)) for h in route.hops]
        capacity = min(
            int(self._free[h.server]) // s for h, s in zip(route.hops, need, strict=True)
        )
        for hop, session in zip(route.hops, need, strict=True):
            self._free[hop.server] -= capacity * session
        servers, ends = list(route.servers), np.array([h.end for h in route.hops])
        first = self._entry(self._free[servers], ends)
        for at in np.flatnonzero(first > self._first[servers]).tolist():
            self._limit(servers[at], int(ends[at]), int(first[at]))
        return capacity

    def _limit(self, server: int, end: int, first: int) -> None:
        """Drop the hops into a server before ``first``: it has too little cache left for them."""
        starts = np.arange(int(self._first[server]), first)
        self._first[server] = first
        mine = self._graph.server[self._links[end].start + starts] == server
        self._choose(end, starts[mine])
