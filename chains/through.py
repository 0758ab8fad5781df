"""The cheapest chains that differ, each the cheapest through some server, compiled.

Imported only where requests are routed: numba takes a while to load.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.jit import compiled
from .graph import Graph
from .sweep import Net, net_of, sweep, walk_back


class Crossing(NamedTuple):
    """A routing graph, and room for what its chains cost from any node on.

    Attributes
    ----------
    host : (S, 3) server rows, the first link into each and the first one of another.
    head : (E,) node that each link leads to.
    onward_s, on : (nodes,) least cost from a node to the end, and the link to take (-1 = none).
    """

    net: Net
    host: IntArray
    head: IntArray
    onward_s: FloatArray
    on: IntArray


def crossing_of(graph: Graph) -> Crossing:
    """The arrays of a graph."""
    hosts = [(j, links.start, links.stop) for j, links in graph.by_server.items()]
    return Crossing(
        net=net_of(graph),
        host=np.array(hosts, dtype=np.int64).reshape(-1, 3),
        head=np.ascontiguousarray(graph.end if graph.merged else graph.server),
        onward_s=np.zeros(graph.num_nodes),
        on=np.zeros(graph.num_nodes, dtype=np.int64),
    )


def distinct(
    crossing: Crossing, cost_s: FloatArray, leave_s: FloatArray, most: int
) -> list[list[int]]:
    """Links of up to so many different chains, cheapest first.

    Parameters
    ----------
    cost_s : (E,) of each link, infinite where it must not be used.
    leave_s : (n,) of ending a chain at a server; empty where it costs nothing.
    """
    path, count = _distinct(crossing, cost_s, leave_s, most)
    return [path[i, :links].tolist() for i, links in enumerate(count.tolist()) if links]


@compiled
def _distinct(
    crossing: Crossing, cost_s: FloatArray, leave_s: FloatArray, most: int
) -> tuple[IntArray, IntArray]:
    """(most, nodes) the links, and (most,) how many of each chain, 0 = there is none."""
    net, host = crossing.net, crossing.host
    for e in range(len(cost_s)):
        net.link[e]["cost_s"] = cost_s[e]
    sweep(net, leave_s, False)
    _sweep_back(crossing, cost_s, leave_s)
    total_s, by = np.full(len(host), np.inf), np.empty(len(host), np.int64)
    for i in range(len(host)):
        for e in range(host[i, 1], host[i, 2]):
            reached_s = net.node[net.link[e]["tail"]]["least_s"] + cost_s[e]
            whole_s = reached_s + crossing.onward_s[crossing.head[e]]
            if whole_s < total_s[i]:
                total_s[i], by[i] = whole_s, e
    path, count = np.empty((most, len(net.node)), np.int64), np.zeros(most, np.int64)
    found = 0
    while found < most:
        best = _first(total_s, host)
        if best < 0:
            break
        total_s[best] = np.inf
        count[found] = _through(crossing, by[best], path[found])
        if _is_new(path, count, found):
            found += 1
        else:
            count[found] = 0
    return path, count


@compiled
def _first(total_s: FloatArray, host: IntArray) -> int:
    """The cheapest, the lowest server row among equals; -1 where none is left."""
    best = -1
    for i in range(len(host)):
        if total_s[i] == np.inf:
            continue
        lower = best >= 0 and total_s[i] == total_s[best] and host[i, 0] < host[best, 0]
        if best < 0 or total_s[i] < total_s[best] or lower:
            best = i
    return best


@compiled
def _is_new(path: IntArray, count: IntArray, at: int) -> bool:
    """Whether a chain is unlike those before it."""
    for i in range(at):
        if count[i] == count[at] and (path[i, : count[i]] == path[at, : count[i]]).all():
            return False
    return True


@compiled
def _sweep_back(crossing: Crossing, cost_s: FloatArray, leave_s: FloatArray) -> None:
    """Least costs to the end of the model; of equal links the last one, as in ``shortest``."""
    net, onward_s, on = crossing.net, crossing.onward_s, crossing.on
    onward_s[:], on[:] = np.inf, -1
    for node in net.final:
        onward_s[node] = leave_s[node] if len(leave_s) > 0 else 0.0
    for g in range(len(net.group) - 2, -1, -1):
        begin, here_s = net.group[g, 1], onward_s[net.group[g, 0]]
        for e in range(begin, net.group[g + 1, 1]):
            tail, whole_s = net.link[e]["tail"], cost_s[e] + here_s
            again = whole_s == onward_s[tail] < np.inf and begin <= on[tail] < e
            if whole_s < onward_s[tail] or again:
                onward_s[tail], on[tail] = whole_s, e


@compiled
def _through(crossing: Crossing, link: int, path: IntArray) -> int:
    """Fill in the links of the cheapest chain over a link; how many they are."""
    net = crossing.net
    count = walk_back(net, net.link[link]["tail"], path)
    while link >= 0:
        path[count] = link
        count += 1
        link = crossing.on[crossing.head[link]]
    return count
