"""Chains that a placement can serve, how many sessions fit each, and what response they give.

Greedy cache allocation (GCA) and the closed-form bounds on the mean response time of
"join the fastest free chain" (JFFC), after arXiv 2604.14993; docs/model.md section 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..core.plan import Hop, Placement, Route
from ..core.problem import FloatArray, IntArray, Problem, frozen_array
from .latency import HopCost, hop_cost, route_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A route with the cache of ``capacity`` concurrent sessions set aside for it.

    ``service_time_s`` is the time of the representative request on it, averaged over the clients
    by their request rates; its inverse is the service rate mu of one session.
    """

    route: Route
    capacity: int
    service_time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCosts:
    """Whole-request times of the representative request from the mean client.

    Attributes
    ----------
    hop_s : (n,) total communication time with each server, tau^c, averaged over the clients.
    block_s : (n,) total compute time of one block at each server, tau^p.
    shares : (clients,) weights of that average.
    by_client : what each client pays.
    """

    hop_s: FloatArray
    block_s: FloatArray
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


def job_costs(problem: Problem) -> JobCosts:
    """Costs that compose chains.

    Notes
    -----
    The theory knows a single ingress and hub-and-spoke relay. With several clients the
    communication times are averaged by request rate, so the chains suit the mean request; a
    simulation prices every request from its own client. Under server relay chains are still
    composed at hub-and-spoke prices, but their service times are those of the relay.
    """
    plan = problem.planning
    shares = client_shares(problem)
    costs = tuple(
        hop_cost(problem, c, plan.prompt_tokens, plan.output_tokens) for c in range(len(shares))
    )
    hop = np.sum([share * cost.hop_s for share, cost in zip(shares, costs, strict=True)], axis=0)
    return JobCosts(
        hop_s=frozen_array(hop, np.float64),
        block_s=costs[0].block_s,
        shares=shares,
        by_client=costs,
    )


def mean_service_s(problem: Problem, route: Route, costs: JobCosts) -> float:
    """Time of the representative request on a route, averaged over the clients, seconds."""
    if problem.network.relay == "client":
        return float(
            sum(costs.hop_s[h.server] + costs.block_s[h.server] * len(h) for h in route.hops)
        )
    plan = problem.planning
    lengths = (plan.prompt_tokens, plan.output_tokens)
    return float(
        sum(
            share * route_time(problem, c, route, *lengths, cost=cost).total_s
            for c, (share, cost) in enumerate(zip(costs.shares, costs.by_client, strict=True))
        )
    )


def gca(problem: Problem, placement: Placement) -> tuple[Chain, ...]:
    """Greedy cache allocation: chains and capacities on any placement, fastest first.

    Takes the fastest chain that still has cache, gives it all the sessions that fit, takes their
    slots away, and repeats until no chain is left (docs/model.md 10.3).

    Parameters
    ----------
    problem : a slot is the cache of one planned session on one block.
    placement : its cache pools are what is given away.

    Returns
    -------
    Chains by increasing service time; empty when no session fits any route.
    """
    costs = job_costs(problem)
    slots = placement.cache_bytes // problem.session_bytes
    slots = np.where(placement.num_blocks > 0, slots, 0)
    graph = _ChainGraph(placement, costs, slots, problem.model.num_blocks)
    found: list[Chain] = []
    while (route := graph.fastest()) is not None:
        capacity = graph.take(route)
        seconds = mean_service_s(problem, route, costs)
        found.append(Chain(route=route, capacity=capacity, service_time_s=seconds))
    return tuple(sorted(found, key=lambda chain: chain.service_time_s))


class _ChainGraph:
    """Shortest chains over block positions while slots run out.

    Under hub-and-spoke a hop into ``j`` costs the same wherever the session comes from, so the
    states are the positions 0..L instead of the servers: for every pair of them the cheapest
    server that still takes a session from one to the other, its span ending there.
    """

    def __init__(
        self, placement: Placement, costs: JobCosts, slots: IntArray, num_blocks: int
    ) -> None:
        self._length = num_blocks
        self._slots = np.array(slots, dtype=np.int64)
        self._most = np.minimum(placement.num_blocks, self._slots)
        self._ending: dict[int, IntArray] = {}
        self._table: dict[int, FloatArray] = {}
        self._price = np.full((num_blocks + 1, num_blocks), np.inf)
        self._server = np.full((num_blocks + 1, num_blocks), -1, dtype=np.int64)
        for end in np.unique(placement.end[self._most > 0]).tolist():
            rows = np.flatnonzero((placement.end == end) & (self._most > 0))
            run = end - np.arange(end)
            table = costs.hop_s[rows, None] + costs.block_s[rows, None] * run
            table[run > self._most[rows, None]] = np.inf
            self._ending[end], self._table[end] = rows, table
            self._choose(end, np.arange(end))

    def _choose(self, end: int, starts: IntArray) -> None:
        """Find the cheapest server again for hops from ``starts`` to ``end``."""
        table = self._table[end][:, starts]
        first = np.argmin(table, axis=0)  # ties: lowest index, as rows are in server order
        self._price[end, starts] = table[first, np.arange(len(starts))]
        self._server[end, starts] = self._ending[end][first]

    def _limit(self, server: int, end: int) -> None:
        """Drop the hops for which a server has too few slots left."""
        old, new = int(self._most[server]), int(self._slots[server])
        if new < old:
            self._most[server] = new
            row = int(np.searchsorted(self._ending[end], server))
            self._table[end][row, end - old : end - new] = np.inf
            starts = np.arange(end - old, end - new)
            self._choose(end, starts[self._server[end, starts] == server])

    def fastest(self) -> Route | None:
        """The cheapest chain with at least one free session, None when there is none."""
        reach = np.full(self._length + 1, np.inf)
        reach[0] = 0.0
        came = np.zeros(self._length + 1, dtype=np.int64)
        for end in self._ending:
            total = reach[:end] + self._price[end, :end]
            came[end] = start = int(np.argmin(total))
            reach[end] = total[start]
        if not np.isfinite(reach[self._length]):
            return None
        hops: list[Hop] = []
        position = self._length
        while position > 0:
            start = int(came[position])
            server = int(self._server[position, start])
            hops.append(Hop(server=server, start=start, end=position))
            position = start
        return Route(hops=tuple(reversed(hops)))

    def take(self, route: Route) -> int:
        """Give the route every session that fits, and return how many."""
        capacity = min(int(self._slots[h.server]) // len(h) for h in route.hops)
        for hop in route.hops:
            self._slots[hop.server] -= capacity * len(hop)
        for hop in route.hops:
            self._limit(hop.server, hop.end)
        return capacity


def total_service_rate(chains: Sequence[Chain]) -> float:
    """Requests per second that the chains can sustain, nu = sum of capacity / service time."""
    return float(sum(chain.capacity / chain.service_time_s for chain in chains))


def response_bounds(
    rates: ArrayLike, capacities: ArrayLike, arrival_rate: float
) -> tuple[float, float]:
    """Bounds on the mean response time of JFFC (arXiv 2604.14993, Theorem 4).

    Poisson arrivals and exponential service are assumed. The bounds come from two birth-death
    chains: jobs always on the fastest chains (lower), always on the slowest (upper).

    Parameters
    ----------
    rates : (K,) service rate of one session on each chain, 1/s.
    capacities : (K,) concurrent sessions of each chain.
    arrival_rate : requests per second, >= 0.

    Returns
    -------
    (lower_s, upper_s), both infinite when the load reaches the capacity.

    Raises
    ------
    ValueError
        If a rate is not positive or the arrival rate is negative.
    """
    speed = np.asarray(rates, dtype=np.float64)
    count = np.asarray(capacities, dtype=np.int64)
    if (speed <= 0).any() or (count < 0).any() or arrival_rate < 0:
        raise ValueError("service rates must be positive, capacities and the load not negative")
    slow_first = np.repeat(np.sort(speed), count[np.argsort(speed, kind="stable")])
    if not len(slow_first) or arrival_rate >= slow_first.sum():
        return (np.inf, np.inf)
    if arrival_rate == 0:
        return (float(1.0 / slow_first[-1]), float(1.0 / slow_first[0]))
    return (
        _mean_response_s(slow_first[::-1], arrival_rate),
        _mean_response_s(slow_first, arrival_rate),
    )


def _mean_response_s(slot_rates: FloatArray, arrival_rate: float) -> float:
    """Mean response of the birth-death chain whose n-th job adds ``slot_rates[n - 1]``.

    State probabilities are kept as logarithms: with hundreds of slots their products overflow.
    """
    slots = len(slot_rates)
    deaths = np.cumsum(slot_rates)
    load = arrival_rate / deaths[-1]
    log_phi = np.concatenate(([0.0], np.cumsum(np.log(arrival_rate) - np.log(deaths))))
    phi = np.exp(log_phi - log_phi.max())
    total = phi[:slots].sum() + phi[slots] / (1.0 - load)
    jobs = np.arange(slots) @ phi[:slots]
    jobs += phi[slots] * (load / (1.0 - load) ** 2 + slots / (1.0 - load))
    return float(jobs / total / arrival_rate)
