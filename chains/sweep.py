"""The cheapest chain over a routing graph, compiled: the same as ``chains.shortest`` finds.

Ties included. Imported only where graphs are large or many: numba takes a while to load.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.content import FloatArray, IntArray
from ..core.jit import compiled
from .graph import Graph

#: A link of a graph (``chains.graph.Graph``), and room for what it costs: cost_s for the decision,
#: full_s its wait for cache included.
LINK = np.dtype(
    [(name, np.int64) for name in ("server", "origin", "end", "previous", "tail")]
    + [(name, np.float64) for name in ("cost_s", "full_s")]
)
#: A node, and room for the least cost to it and the link that reaches it (-1 = none does).
NODE = np.dtype([("least_s", np.float64), ("by", np.int64)])


class Net(NamedTuple):
    """A routing graph as plain arrays.

    Attributes
    ----------
    link, node : (E,) of LINK, (nodes,) of NODE.
    group : (G + 1, 2) nodes in sweep order and the first link into each; the last row ends them.
    final : (F,) nodes at which a chain may end.
    source : the client's node.
    """

    link: NDArray[np.void]
    node: NDArray[np.void]
    group: IntArray
    final: IntArray
    source: int


def net_of(graph: Graph) -> Net:
    """The arrays of a graph."""
    link = np.zeros(len(graph.server), LINK)
    for name in ("server", "origin", "end", "previous", "tail"):
        link[name] = getattr(graph, name)
    rows = [(node, links.start) for node, links in graph.groups]
    return Net(
        link=link,
        node=np.zeros(graph.num_nodes, NODE),
        group=np.array([*rows, (-1, len(link))], dtype=np.int64),
        final=np.array(graph.finals, dtype=np.int64),
        source=graph.source,
    )


@compiled
def sweep(net: Net, leave_s: FloatArray, full: bool) -> tuple[int, float]:
    """The node at which the cheapest chain ends (-2: there is none) and what the chain costs.

    Parameters
    ----------
    leave_s : (n,) of ending a chain at a server; empty where it costs nothing.
    full : whether links cost ``full_s``.
    """
    link, node, group = net.link, net.node, net.group
    set_out(net)
    for g in range(len(group) - 1):
        least_s, at = np.inf, -1
        for e in range(group[g, 1], group[g + 1, 1]):
            cost_s = link[e]["full_s"] if full else link[e]["cost_s"]
            total_s = node[link[e]["tail"]]["least_s"] + cost_s
            if total_s < least_s:
                least_s, at = total_s, e
            elif total_s == least_s and total_s < np.inf and sooner(link, node, e, at):
                at = e
        if at >= 0:
            node[group[g, 0]]["least_s"], node[group[g, 0]]["by"] = least_s, at
    return arrived(net, leave_s)


@compiled
def set_out(net: Net) -> None:
    """Nothing is reached yet but the source."""
    for i in range(len(net.node)):
        net.node[i]["least_s"], net.node[i]["by"] = np.inf, -1
    net.node[net.source]["least_s"] = 0.0


@compiled
def arrived(net: Net, leave_s: FloatArray) -> tuple[int, float]:
    """Where the cheapest chain ends once all nodes are reached, and its cost; see ``sweep``."""
    node = net.node
    best_s, reached_s, last = np.inf, np.inf, -2
    for i in net.final:
        if node[i]["by"] < 0:
            continue
        here_s = node[i]["least_s"]
        whole_s = here_s + leave_s[i] if len(leave_s) > 0 else here_s
        nearer = here_s < reached_s or (here_s == reached_s and i < last)
        if whole_s < best_s or (whole_s == best_s and whole_s < np.inf and nearer):
            best_s, reached_s, last = whole_s, here_s, i
    return last, best_s


@compiled
def sooner(link: Any, node: Any, one: int, other: int) -> bool:
    """Among equal links: lowest target row; for it the predecessor that Dijkstra settles first."""
    if link[one]["server"] != link[other]["server"]:
        lower: bool = link[one]["server"] < link[other]["server"]
        return lower
    mine, yours = node[link[one]["tail"]], node[link[other]["tail"]]
    if mine["least_s"] != yours["least_s"]:
        nearer: bool = mine["least_s"] < yours["least_s"]
        return nearer
    row = link[mine["by"]]["server"] if mine["by"] >= 0 else -1
    than = link[yours["by"]]["server"] if yours["by"] >= 0 else -1
    return bool(row < than)


@compiled
def walk_back(net: Net, last: int, path: IntArray) -> int:
    """Fill in the links of the chain that ends at a node, in order; how many they are."""
    count, at = 0, net.node[last]["by"]
    while at >= 0:
        path[count] = at
        at = net.node[net.link[at]["tail"]]["by"]
        count += 1
    for i in range(count // 2):
        path[i], path[count - 1 - i] = path[count - 1 - i], path[i]
    return count
