"""The routing graph of a placement: which hops exist, and what each costs.

A hop i -> j exists iff ``s_j <= e_i < e_j`` and runs the blocks ``[e_i, e_j)``. Where a hop costs
the same after any server, links into a server are merged over all servers that end where it begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.plan import Hop, Placement, Route
from ..perfmodel.cost import CostModel
from ..perfmodel.hops import HopCost

Slices = tuple[tuple[int, slice], ...]
#: Chains of a graph that are remembered.
MOST_ROUTES = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Links of the routing graph, flat, sorted by end of the target, then by target.

    A node is an end position where links are merged, a server row where they tell servers before
    apart; the source is the client.

    Attributes
    ----------
    server : (E,) target of each link.
    origin, end : (E,) blocks that are run there, [origin, end).
    previous : (E,) server before; -1 = the client, or any when links are merged.
    tail : (E,) node that each link comes from.
    merged : whether links do not tell servers before apart.
    groups : (node, links into it) in sweep order.
    finals : nodes at which a chain may end.
    by_server : links into each server.
    """

    start: int
    num_nodes: int
    source: int
    server: IntArray
    origin: IntArray
    end: IntArray
    previous: IntArray
    tail: IntArray
    merged: bool
    groups: Slices
    finals: tuple[int, ...]
    by_server: dict[int, slice] = field(repr=False)
    _routes: dict[tuple[int, ...], Route] = field(default_factory=dict, repr=False, compare=False)

    def head(self, link: int) -> int:
        """The node that a link leads to."""
        return int(self.end[link] if self.merged else self.server[link])

    def route(self, links: list[int]) -> Route:
        """The chain made of these links: the same object as long as it is remembered."""
        servers = self.server[links].tolist()  # of composed chains they change
        route = self._routes.get(key := (*links, *servers))
        if route is None:
            if len(self._routes) >= MOST_ROUTES:
                self._routes.clear()
            ends = self.origin[links].tolist(), self.end[links].tolist()
            runs = zip(servers, *ends, strict=True)
            hops = tuple(Hop(server=j, start=start, end=end) for j, start, end in runs)
            route = self._routes[key] = Route(hops=hops)
        return route


def build_graph(
    cost: CostModel, placement: Placement, start: int = 0, *, pairs: bool | None = None
) -> Graph:
    """The routing graph of a placement for chains that begin at block ``start``.

    ``pairs`` keeps one link per pair of servers; by default only where the cost depends on both.
    """
    apart = cost.relaying.pairs if pairs is None else pairs
    hosts = np.flatnonzero(placement.end > np.maximum(placement.start, start))
    hosts = hosts[np.lexsort((hosts, placement.end[hosts]))]
    first, last = np.maximum(placement.start[hosts], start), placement.end[hosts]
    ends, count = np.unique(last, return_counts=True)
    entries = np.concatenate(([start], ends))
    # A span is entered where another one ends, or the chain begins: at the latest place first.
    low, high = np.searchsorted(entries, first), np.searchsorted(entries, last)
    each = np.maximum(high - low, 0)
    span = np.repeat(np.arange(len(hosts)), each)
    entry = np.repeat(high, each) - 1 - _ramps(each)
    previous = np.full(len(span), -1)
    if apart:  # a link for every server that ends there, in their order; the client ends at none
        ending = np.concatenate(([1], count))
        before = np.concatenate(([-1], hosts))
        begin = np.cumsum(ending) - ending
        times = ending[entry]
        span, previous = np.repeat(span, times), _ramps(times) + np.repeat(begin[entry], times)
        entry, previous = np.repeat(entry, times), before[previous]
    stops = np.searchsorted(span, np.arange(len(hosts) + 1))
    links = [slice(a, b) for a, b in pairwise(stops.tolist())]
    by_server = dict(zip(hosts.tolist(), links, strict=True))
    if apart:
        groups = list(by_server.items())
    else:
        edges = [0, *np.cumsum(count).tolist()]
        groups = [
            (end, slice(int(stops[a]), int(stops[b])))
            for end, (a, b) in zip(ends.tolist(), pairwise(edges), strict=True)
        ]
    length, n, origin = cost.num_blocks, len(placement.end), entries[entry]
    return Graph(
        start=start,
        num_nodes=(n if apart else length) + 1,
        source=-1 if apart else start,
        server=hosts[span],
        origin=origin,
        end=last[span],
        previous=previous,
        tail=previous if apart else origin,
        merged=not apart,
        groups=tuple((node, into) for node, into in groups if into.stop > into.start),
        finals=tuple(hosts[last == length].tolist()) if apart else (length,),
        by_server=by_server,
    )


def _ramps(counts: IntArray) -> IntArray:
    """0, 1, ... up to each of some counts, one after another."""
    total = int(counts.sum())
    ramps: IntArray = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    return ramps


def request_costs_s(
    cost: CostModel, graph: Graph, shape: HopCost
) -> tuple[FloatArray, FloatArray | None]:
    """(E,) whole-request seconds of each link, T_ij of docs/model.md, and (n,) of leaving.

    The second is what a chain pays after its last server; None where hops include it.
    """
    links = cost.relaying.links_s(shape, graph.server, graph.origin, graph.end, graph.previous)
    back = cost.relaying.back_s(shape)
    return links, None if back is None else shape.steps * back


def step_costs_s(
    cost: CostModel, graph: Graph, shape: HopCost
) -> tuple[FloatArray, FloatArray | None]:
    """The same for one decode step."""
    links = cost.relaying.steps_s(shape, graph.server, graph.origin, graph.end, graph.previous)
    return links, cost.relaying.back_s(shape)


def session_bytes(cost: CostModel, graph: Graph, tokens: int) -> IntArray:
    """(E,) cache that a session of so many tokens holds on each link."""
    held: IntArray = cost.cache_bytes(tokens, graph.origin, graph.end)
    return held
