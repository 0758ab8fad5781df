"""The cheapest chain over a routing graph: one sweep over its nodes.

Positions only grow along a chain, so one sweep by increasing end replaces Dijkstra. Ties are broken
as Dijkstra does that settles the least distance, then the lowest server row, and changes a
predecessor only on strict improvement.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.content import FloatArray, IntArray
from .graph import Graph

#: No chain: no links, at infinite cost.
NONE: tuple[list[int], float] = ([], math.inf)


def shortest(
    graph: Graph, cost: FloatArray, leave: FloatArray | None = None
) -> tuple[list[int], float]:
    """Links of the cheapest chain and its cost; an empty list and infinity when none exists.

    Parameters
    ----------
    cost : (E,) cost of each link, infinite where it must not be used.
    leave : (n,) cost of ending the chain at a server, for graphs by pairs.
    """
    distance, by = forward(graph, cost)
    best, last = math.inf, (math.inf, -1)
    for node in graph.finals:
        if by[node] < 0:
            continue
        reached = float(distance[node])
        whole = reached if leave is None else reached + float(leave[node])
        if whole < best or (whole == best < math.inf and (reached, node) < last):
            best, last = whole, (reached, node)
    return (walked_back(graph, by, last[1]), best) if best < math.inf else ([], math.inf)


def forward(graph: Graph, cost: FloatArray) -> tuple[FloatArray, list[int]]:
    """Least cost to every node, inf where none, and the link by which it is reached (-1)."""
    distance = np.full(graph.num_nodes, np.inf)
    distance[graph.source] = 0.0
    by = [-1] * graph.num_nodes
    tail = graph.tail
    for node, links in graph.groups:
        total = distance[tail[links]]
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
        distance[node], by[node] = least, i
    return distance, by


def backward(
    graph: Graph, cost: FloatArray, leave: FloatArray | None = None
) -> tuple[FloatArray, list[int]]:
    """Least cost from every node to the end of the model, and the link to take there (-1)."""
    onward = np.full(graph.num_nodes, np.inf)
    on = [-1] * graph.num_nodes
    finals = list(graph.finals)
    onward[finals] = 0.0 if leave is None else leave[finals]
    for node, links in reversed(graph.groups):
        total = cost[links] + onward[node]
        better = np.flatnonzero(total < onward[graph.tail[links]])
        # Dearest first, so that the cheapest link of a node is the one that stays.
        for i in better[np.argsort(-total[better], kind="stable")].tolist():
            tail = int(graph.tail[links.start + i])
            onward[tail], on[tail] = total[i], links.start + i
    return onward, on


def walked_back(graph: Graph, by: list[int], node: int) -> list[int]:
    """Links from the source to a node that ``forward`` has reached."""
    chain: list[int] = []
    while by[node] >= 0:
        chain.append(by[node])
        node = int(graph.tail[by[node]])
    return chain[::-1]


def walked_on(graph: Graph, on: list[int], node: int) -> list[int]:
    """Links from a node to the end of the model, as ``backward`` found them."""
    chain: list[int] = []
    while on[node] >= 0:
        chain.append(on[node])
        node = graph.head(on[node])
    return chain


def _first_settled(graph: Graph, ties: IntArray, distance: FloatArray, by: list[int]) -> int:
    """Among equal links: lowest target row; for it the predecessor that Dijkstra settles first."""

    def settled(link: int) -> tuple[int, float, int]:
        tail = int(graph.tail[link])
        before = int(graph.server[by[tail]]) if by[tail] >= 0 else -1
        return int(graph.server[link]), float(distance[tail]), before

    return min((int(i) for i in ties), key=settled)
