"""The routing graph of a placement: which hops exist, and what each costs.

A hop i -> j exists iff ``s_j <= e_i < e_j`` and runs the blocks ``[e_i, e_j)``. Where a hop costs
the same after any server, links into a server are merged over all servers that end where it begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.plan import Hop, Placement, Route
from ..perfmodel.cost import CostModel
from ..perfmodel.hops import HopCost

Slices = tuple[tuple[int, slice], ...]


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

    def head(self, link: int) -> int:
        """The node that a link leads to."""
        return int(self.end[link] if self.merged else self.server[link])

    def route(self, links: list[int]) -> Route:
        """The chain made of these links."""
        return Route(
            hops=tuple(
                Hop(server=int(self.server[i]), start=int(self.origin[i]), end=int(self.end[i]))
                for i in links
            )
        )


def build_graph(
    cost: CostModel, placement: Placement, start: int = 0, *, pairs: bool | None = None
) -> Graph:
    """The routing graph of a placement for chains that begin at block ``start``.

    ``pairs`` keeps one link per pair of servers; by default only where the cost depends on both.
    """
    apart = cost.relaying.pairs if pairs is None else pairs
    spans = [
        (int(placement.end[j]), int(j), max(int(placement.start[j]), start))
        for j in np.flatnonzero(placement.end > np.maximum(placement.start, start))
    ]
    spans.sort()
    ends = sorted({end for end, _, _ in spans})
    entries = [start, *ends]
    rows: list[tuple[int, int, int, int]] = []  # server, origin, end, previous
    groups: list[tuple[int, slice]] = []
    by_server: dict[int, slice] = {}
    finishing: dict[int, list[int]] = {start: [-1]}
    for end, j, _ in spans:
        finishing.setdefault(end, []).append(j)
    for end, j, first in spans:
        begin = len(rows)
        for entry in reversed([p for p in entries if first <= p < end]):
            for i in finishing[entry] if apart else (-1,):
                rows.append((j, entry, end, i))
        by_server[j] = slice(begin, len(rows))
        if apart:
            groups.append((j, by_server[j]))
        elif groups and groups[-1][0] == end:
            groups[-1] = (end, slice(groups[-1][1].start, len(rows)))
        else:
            groups.append((end, by_server[j]))
    server, origin, stop, previous = np.array(rows, dtype=np.int64).reshape(-1, 4).T.copy()
    length, n = cost.num_blocks, len(placement.end)
    last = tuple(j for e, j, _ in spans if e == length) if apart else (length,)
    return Graph(
        start=start,
        num_nodes=(n if apart else length) + 1,
        source=-1 if apart else start,
        server=server,
        origin=origin,
        end=stop,
        previous=previous,
        tail=previous if apart else origin,
        merged=not apart,
        groups=tuple((node, links) for node, links in groups if links.stop > links.start),
        finals=last,
        by_server=by_server,
    )


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
