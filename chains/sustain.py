"""The highest rate that a placement sustains: a flow of requests over its routing graph.

A linear programme: what comes to a block leaves it, no server gives more compute or cache than it
has. docs/model.md 11.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..core.accuracy import SAME_HARM
from ..core.content import ByContent, FloatArray, IntArray, frozen_array
from ..core.plan import Placement, Route
from ..core.workload import Mix
from ..perfmodel.capacity import mean_work_s
from ..perfmodel.cost import CostModel
from ..solve.deadline import NEVER
from ..solve.lp import Lp
from .compose import gca, job_costs, mean_service_s
from .graph import Graph, build_graph
from .shared import Sent
from .shortest import backward, forward
from .within import cheapest_within

#: The programme is solved so often: how long sessions hold cache is known after it.
ROUNDS = 3
#: A server binds when less than this share of its compute or its cache is left.
TIGHT = 1e-3
#: Flows below this share of all are rounding.
EPS = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """``rate_per_s`` requests take a route."""

    route: Route
    rate_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sustained(ByContent):
    """How a placement sustains most requests.

    Attributes
    ----------
    rate_per_s : of all clients together; 0 where no chain holds a session.
    flows : the routes taken, most used first.
    compute_frac, cache_frac : (n,) what is used of every server's compute and cache.
    uplink_frac : (2 U,) of both directions of every uplink: out of it and into it.
    """

    rate_per_s: float
    flows: tuple[Flow, ...]
    compute_frac: FloatArray
    cache_frac: FloatArray
    uplink_frac: FloatArray = field(default_factory=lambda: frozen_array([], np.float64))

    def binds(self, server: int) -> tuple[str, ...]:
        """What of a server is used up."""
        used = (("compute", self.compute_frac), ("cache", self.cache_frac))
        return tuple(what for what, frac in used if frac[server] > 1.0 - TIGHT)


def sustained(cost: CostModel, placement: Placement, mix: Mix) -> Sustained:
    """The highest rate in the long run, in compute and in cache.

    A server that works on one task at a time computes for a second in a second, prompts counted;
    a session holds its cache for as long as it takes alone. All clients spread over the chains
    alike, but for those that have not its adapter, or are not within its budget of accuracy. What a
    router reaches is less where lines make sessions hold caches longer.
    """
    graph, n = build_graph(cost, placement, pairs=False), cost.problem.num_servers
    use = Use(cost, placement, mix, graph)
    time_s = use.least_time_s()
    # Where caches bind, no flow over links tells all: those of GCA are the least to begin with.
    known = {c.route: use.chain(use.links(c.route)) for c in gca(cost, placement)}
    for _ in range(ROUNDS if np.isfinite(time_s).any() else 0):
        x = _largest_flow(graph, use, time_s, n)
        chains = [(use.chain(links), rate) for links, rate in _chains(graph, x)]
        known |= {chain.route: chain for chain, _ in chains}
        # Chains take longer than the fastest ones through their links: that was assumed of cache.
        assumed = np.bincount(graph.server, x * np.where(x > 0, use.held * time_s, 0.0), n)
        taken = np.zeros(n)
        for chain, rate in chains:
            taken[chain.server] += rate * chain.cache
        if taken.max() <= 1.0 + EPS:
            break
        time_s = time_s * np.divide(taken, assumed, out=np.ones(n), where=assumed > 0)[graph.server]
    groups = _groups(cost, mix)
    for group in groups if cost.budgeted or cost.adapted else ():
        known |= {c.route: c for c in use.within(group)}
    return _shared(list(known.values()), groups, n)


def taken_by(
    cost: CostModel, placement: Placement, mix: Mix, routes: Sequence[Route]
) -> list[FloatArray]:
    """(2 n,) compute, then cache, of every server that a request a second takes on each route."""
    n = cost.problem.num_servers
    use = Use(cost, placement, mix, build_graph(cost, placement, pairs=False))
    found = []
    for route in routes:
        chain, each = use.chain(use.links(route)), np.zeros(2 * n)
        each[chain.server], each[n + chain.server] = chain.compute, chain.cache
        found.append(each)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Clients that may use the same chains.

    Attributes
    ----------
    share : of all requests.
    lacking, budget : servers that do not serve them; the harm that they bear.
    """

    cost: CostModel
    share: float
    lacking: frozenset[int]
    budget: float

    def may(self, route: Route) -> bool:
        """Whether they can use a chain."""
        able = self.lacking.isdisjoint(route.servers)
        return able and self.cost.route_harm(route) <= self.budget + SAME_HARM


def _groups(cost: CostModel, mix: Mix) -> list[_Group]:
    """The clients of a mix by what they may use."""
    shares: dict[tuple[frozenset[int], float], float] = {}
    for client, share in zip(mix.client.tolist(), mix.share.tolist(), strict=True):
        if share > 0:
            key = cost.lacking[client], float(cost.budgets[client])
            shares[key] = shares.get(key, 0.0) + share
    total = sum(shares.values())
    return [
        _Group(cost=cost, share=share / total, lacking=lacking, budget=budget)
        for (lacking, budget), share in shares.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChainUse:
    """What a request a second on a route takes of its servers, (hops,) each, lasting ``time_s``;
    and ``uplinks``, (2 U,), of those."""

    route: Route
    server: IntArray
    compute: FloatArray
    cache: FloatArray
    uplinks: FloatArray
    time_s: float


def _shared(chains: Sequence[ChainUse], groups: Sequence[_Group], servers: int) -> Sustained:
    """The most requests that these chains take together, each group its share of them."""
    compute, cache, rates = np.zeros(servers), np.zeros(servers), dict[Route, float]()
    lp, taken = Lp(), list[ChainUse]()
    lanes = chains[0].uplinks if chains else np.zeros(0)
    uplinks = np.zeros(len(lanes))
    for _ in range(2 * servers + len(lanes)):  # compute of every server, then cache, then uplinks
        lp.add_row({}, -np.inf, 1.0)
    several = len(groups) > 1
    shares = [lp.add_row({}, 0.0, 0.0) for _ in groups] if several else []
    for number, group in enumerate(groups):
        for chain in chains:
            if not group.may(chain.route):
                continue
            rows = np.concatenate([chain.server, servers + chain.server]).tolist()
            takes = np.concatenate([chain.compute, chain.cache]).tolist()
            entries = dict(zip(rows, takes, strict=True))
            entries |= {2 * servers + u: use for u, use in enumerate(chain.uplinks.tolist()) if use}
            if several:
                entries[shares[number]] = 1.0
            lp.add_column(0.0 if several else -1.0, entries)
            taken.append(chain)
    if not taken:
        return Sustained(rate_per_s=0.0, flows=(), compute_frac=compute, cache_frac=cache)
    if several:  # the rate of all together, the last column
        lp.add_column(-1.0, {row: -g.share for row, g in zip(shares, groups, strict=True)})
    solution = lp.solve(NEVER)
    assert solution is not None
    for chain, rate in zip(taken, solution.values.tolist(), strict=False):
        if rate > 0:
            rates[chain.route] = rates.get(chain.route, 0.0) + rate
            compute[chain.server] += rate * chain.compute
            cache[chain.server] += rate * chain.cache
            uplinks += rate * chain.uplinks
    flows = [Flow(route=route, rate_per_s=rate) for route, rate in rates.items()]
    return Sustained(
        rate_per_s=float(sum(flow.rate_per_s for flow in flows)),
        flows=tuple(sorted(flows, key=lambda flow: -flow.rate_per_s)),
        compute_frac=compute,
        cache_frac=cache,
        uplink_frac=frozen_array(uplinks, np.float64),
    )


class Use:
    """What a request a second on each link, (E,), takes of its server.

    Attributes
    ----------
    work_s : share of the compute.
    held : share of the cache, for each second that the session lasts.
    sent_s : (2 U, E) seconds of uplinks, what servers hand on apart.
    """

    def __init__(self, cost: CostModel, placement: Placement, mix: Mix, graph: Graph) -> None:
        self._cost, self._jobs, self._graph = cost, job_costs(cost, mix), graph
        span = graph.server, graph.origin, graph.end
        lasting = mix.share * mix.output_tokens  # sessions count by how long they last
        pool = np.maximum(placement.cache_bytes, 1)[graph.server]
        self.work_s = np.where(cost.serial[graph.server], mean_work_s(cost, mix)(*span), 0.0)
        self.held = _mean_bytes(cost, graph, mix, lasting) / pool
        self._sent = Sent(cost, mix)
        self.sent_s = self._sent.visit_s[:, graph.server]

    def _link_s(self) -> FloatArray:
        """(E,) time of the mean request on each link, inf where it does not fit."""
        graph, jobs = self._graph, self._jobs
        run_s = jobs.run_s(graph.server, graph.origin, graph.end)
        return np.where(self.held <= 1.0, jobs.hop_s[graph.server] + run_s, np.inf)

    def within(self, group: _Group) -> Iterator[ChainUse]:
        """A group's fastest chain, then without the server that it uses up, and so on."""
        graph, seconds = self._graph, self._link_s()
        seconds = np.where(np.isin(graph.server, list(group.lacking)), np.inf, seconds)
        harm = self._cost.harm(graph.server, graph.origin, graph.end)
        while links := cheapest_within(graph, seconds, harm, group.budget)[0]:
            found = self.chain(links)
            yield found
            spent = found.server[np.argmax(np.maximum(found.compute, found.cache))]
            seconds = np.where(graph.server == spent, np.inf, seconds)

    def least_time_s(self) -> FloatArray:
        """(E,) the fastest chain through each link, inf where none exists."""
        graph, seconds = self._graph, self._link_s()
        to, _ = forward(graph, seconds)
        onward, _ = backward(graph, seconds)
        through: FloatArray = to[graph.tail] + seconds + onward[graph.end]
        return through + self._cost.opening_s

    def links(self, route: Route) -> list[int]:
        """The links of a route."""
        return [self._by_hop[h.server, h.start] for h in route.hops]

    @cached_property
    def _by_hop(self) -> dict[tuple[int, int], int]:
        """The link of a server entered at a block."""
        rows = zip(self._graph.server.tolist(), self._graph.origin.tolist(), strict=True)
        return {hop: i for i, hop in enumerate(rows)}

    def chain(self, links: list[int]) -> ChainUse:
        """What a request a second on a chain takes, for as long as it really lasts."""
        route = self._graph.route(links)
        time_s = mean_service_s(self._cost, route, self._jobs) + self._cost.opening_s
        return ChainUse(
            route=route,
            server=self._graph.server[links],
            compute=self.work_s[links],
            cache=self.held[links] * time_s,
            uplinks=self._sent.chain_s(self._graph.server[links]),
            time_s=time_s,
        )


def _mean_bytes(cost: CostModel, graph: Graph, mix: Mix, lasting: FloatArray) -> FloatArray:
    """(E,) cache of the mean session on each link; sessions count by how long they last."""
    tokens = cost.mean_held_tokens(mix.prompt_tokens, mix.output_tokens, mix.reserved_tokens)
    if cost.kept.proportional:
        mean = float(lasting @ tokens / lasting.sum())
        return np.asarray(mean * cost.cache_bytes(1, graph.origin, graph.end))
    each, which = np.unique(tokens, return_inverse=True)
    weight = np.bincount(which, lasting) / lasting.sum()
    held = [cost.cache_bytes(int(t), graph.origin, graph.end) for t in each]
    return np.asarray(weight @ np.array(held, dtype=np.float64))


def _largest_flow(graph: Graph, use: Use, time_s: FloatArray, servers: int) -> FloatArray:
    """(E,) the largest flow from block 0 to the last one, for sessions that last ``time_s``."""
    lp, last = Lp(), graph.finals[0]
    nodes = {node: lp.add_row({}, 0.0, 0.0) for node, _ in graph.groups if node != last}
    compute = [lp.add_row({}, -np.inf, 1.0) for _ in range(servers)]
    cache = [lp.add_row({}, -np.inf, 1.0) for _ in range(servers)]
    lanes = [lp.add_row({}, -np.inf, 1.0) for _ in use.sent_s]
    links = np.flatnonzero(np.isfinite(time_s))
    held = use.held[links] * time_s[links]
    columns = (graph.server[links], graph.origin[links], graph.end[links], use.work_s[links], held)
    each = zip(links.tolist(), *(c.tolist() for c in columns), strict=True)
    for link, j, origin, end, work, kept in each:
        entries = {compute[j]: work, cache[j]: kept}
        for row, sent in zip(lanes, use.sent_s[:, link].tolist() if lanes else (), strict=True):
            entries[row] = sent
        if origin:
            entries[nodes[origin]] = 1.0
        if end != last:
            entries[nodes[end]] = -1.0
        lp.add_column(0.0 if origin else -1.0, entries)
    solution = lp.solve(NEVER)
    assert solution is not None
    x = np.zeros(len(time_s))
    x[links] = solution.values
    return x


def _chains(graph: Graph, x: FloatArray) -> list[tuple[list[int], float]]:
    """The flow as chains with their rates, fullest links first."""
    left = x.copy()
    found: list[tuple[list[int], float]] = []
    least = EPS * float(x[graph.origin == 0].sum())
    leaving: dict[int, list[int]] = {}
    for link in np.flatnonzero(x > least).tolist():
        leaving.setdefault(int(graph.origin[link]), []).append(link)
    while True:
        chain: list[int] = []
        at = 0
        while at != graph.finals[0]:
            link = max(leaving.get(at, ()), key=left.__getitem__, default=-1)
            if link < 0 or left[link] <= least:
                return found
            chain.append(link)
            at = int(graph.end[link])
        rate = float(left[chain].min())
        left[chain] -= rate
        found.append((chain, rate))
