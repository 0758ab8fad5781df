"""Shortest chains over a placement, as dynamic programmes over ends of spans.

A hop i -> j exists iff ``s_j <= e_i < e_j`` and runs ``e_j - e_i`` blocks. Positions only grow
along a chain, so one sweep over servers by increasing end replaces Dijkstra. Ties are broken as
Dijkstra does that settles the least distance, then the lowest server row, and changes a
predecessor only on strict improvement.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..core.plan import Hop, Placement, Route
from ..core.problem import FloatArray, IntArray, Problem
from .latency import HopCost

Slices = tuple[tuple[int, slice], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Links of the routing graph, flat, sorted by end of the target, then by target.

    Attributes
    ----------
    server : (E,) target of each link.
    origin : (E,) block at which the request enters the target.
    blocks : (E,) blocks run there, k_ij.
    previous : (E,) server before (-1 = the client), or None when links are merged over all
        servers that end at ``origin`` (client relay: the cost does not depend on them).
    groups : (node, links into it) in sweep order; a node is an end position (client relay) or a
        server row (server relay).
    """

    length: int
    start: int
    server: IntArray
    origin: IntArray
    blocks: IntArray
    previous: IntArray | None
    groups: Slices
    by_server: dict[int, slice] = field(repr=False)

    def route(self, links: list[int]) -> Route:
        """The chain made of these links."""
        return Route(
            hops=tuple(
                Hop(
                    server=int(self.server[i]),
                    start=int(self.origin[i]),
                    end=int(self.origin[i] + self.blocks[i]),
                )
                for i in links
            )
        )


def build_graph(
    problem: Problem, placement: Placement, start: int = 0, *, pairs: bool | None = None
) -> Graph:
    """The routing graph of a placement for chains that begin at block ``start``.

    ``pairs`` keeps one link per pair of servers; by default only under server relay, where the
    cost depends on both.
    """
    relayed = problem.network.relay == "server" if pairs is None else pairs
    spans = [
        (int(placement.end[j]), int(j), max(int(placement.start[j]), start))
        for j in np.flatnonzero(placement.end > np.maximum(placement.start, start))
    ]
    spans.sort()
    ends = sorted({end for end, _, _ in spans})
    entries = [start, *ends]
    rows: list[tuple[int, int, int, int]] = []  # server, origin, blocks, previous
    groups: list[tuple[int, slice]] = []
    by_server: dict[int, slice] = {}
    finishing: dict[int, list[int]] = {start: [-1]}
    for end, j, _ in spans:
        finishing.setdefault(end, []).append(j)
    for end, j, first in spans:
        begin = len(rows)
        for entry in reversed([p for p in entries if first <= p < end]):
            for i in finishing[entry] if relayed else (-1,):
                rows.append((j, entry, end - entry, i))
        by_server[j] = slice(begin, len(rows))
        if relayed:
            groups.append((j, by_server[j]))
        elif groups and groups[-1][0] == end:
            groups[-1] = (end, slice(groups[-1][1].start, len(rows)))
        else:
            groups.append((end, by_server[j]))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return Graph(
        length=problem.model.num_blocks,
        start=start,
        server=table[:, 0].copy(),
        origin=table[:, 1].copy(),
        blocks=table[:, 2].copy(),
        previous=table[:, 3].copy() if relayed else None,
        groups=tuple((n, s) for n, s in groups if s.stop > s.start),
        by_server=by_server,
    )


def link_cost_s(problem: Problem, graph: Graph, client: int, cost: HopCost) -> FloatArray:
    """(E,) whole-request seconds of each link, T_ij of docs/model.md."""
    j, k = graph.server, graph.blocks
    if graph.previous is None:
        total: FloatArray = cost.hop_s[j] + cost.block_s[j] * k
        return total
    rtt = problem.network.client_rtt_s[client]
    first = graph.previous < 0
    leg = np.where(first, rtt[j], problem.network.server_rtt_s[graph.previous, j]) / 2
    step = leg + (cost.step_hop_s[j] - rtt[j]) + cost.step_block_s[j] * k
    prefill = cost.prefill_hop_s[j] + cost.prefill_block_s[j] * k
    relayed: FloatArray = prefill + cost.steps * step
    return relayed


def exit_cost_s(problem: Problem, client: int, cost: HopCost) -> FloatArray | None:
    """(n,) seconds from the last server back to the client; None when hops include it."""
    if problem.network.relay == "client":
        return None
    back: FloatArray = cost.steps * problem.network.client_rtt_s[client] / 2
    return back


def shortest(
    graph: Graph, cost: FloatArray, leave: FloatArray | None = None
) -> tuple[list[int], float]:
    """Links of the cheapest chain and its cost; an empty list and infinity when none exists.

    Parameters
    ----------
    cost : (E,) cost of each link, infinite where it must not be used.
    leave : (n,) cost of ending the chain at a server (server relay only).
    """
    if graph.previous is None:
        return _by_position(graph, cost)
    return _by_server(graph, cost, leave)


def _by_position(graph: Graph, cost: FloatArray) -> tuple[list[int], float]:
    """Least cost to every end position; links into one position form one group."""
    distance = np.full(graph.length + 1, np.inf)
    distance[graph.start] = 0.0
    by = [-1] * (graph.length + 1)
    origin = graph.origin
    for end, links in graph.groups:
        total = distance[origin[links]]
        total += cost[links]
        i = int(total.argmin())
        least = total[i]
        if least == np.inf:
            continue
        ties = total == least
        if np.count_nonzero(ties) > 1:
            i = _first_settled(graph, np.flatnonzero(ties) + links.start, distance, by)
        else:
            i += links.start
        distance[end], by[end] = least, i
    chain: list[int] = []
    at = graph.length
    if by[at] < 0:
        return [], float("inf")
    while at != graph.start:
        chain.append(by[at])
        at = int(origin[by[at]])
    return chain[::-1], float(distance[graph.length])


def _first_settled(graph: Graph, ties: IntArray, distance: FloatArray, by: list[int]) -> int:
    """Among equal links: lowest target row; for it the predecessor that Dijkstra settles first."""

    def settled(link: int) -> tuple[int, float, int]:
        entry = int(graph.origin[link])
        before = int(graph.server[by[entry]]) if by[entry] >= 0 else -1
        return int(graph.server[link]), float(distance[entry]), before

    return min((int(i) for i in ties), key=settled)


def _by_server(graph: Graph, cost: FloatArray, leave: FloatArray | None) -> tuple[list[int], float]:
    """Least cost to have finished at every server, when the cost depends on the pair."""
    assert graph.previous is not None
    # A server that no link enters may still be the origin of some.
    top = int(max(graph.server.max(initial=-1), graph.previous.max(initial=-1))) + 1
    distance = np.full(top + 1, np.inf)
    distance[-1] = 0.0  # previous == -1 is the client
    by = [-1] * top
    best, last = float("inf"), (float("inf"), -1)
    for j, links in graph.groups:
        before = distance[graph.previous[links]]
        total = before + cost[links]
        least = total.min()
        if least == np.inf:
            continue
        ties = np.flatnonzero(total == least)
        order = np.lexsort((graph.previous[links][ties], before[ties]))
        by[j], distance[j] = links.start + int(ties[order[0]]), least
        link = by[j]
        if graph.origin[link] + graph.blocks[link] == graph.length:
            whole = float(least) + (0.0 if leave is None else float(leave[j]))
            if whole < best or (whole == best < np.inf and (float(least), j) < last):
                best, last = whole, (float(least), j)
    chain: list[int] = []
    j = last[1]
    while j >= 0:
        chain.append(by[j])
        j = int(graph.previous[by[j]])
    return chain[::-1], best
