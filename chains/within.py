"""The cheapest chain within a budget of harm: a sweep that keeps labels (cost, harm) at nodes."""

from __future__ import annotations

import math

import numpy as np

from ..core.accuracy import SAME_HARM
from ..core.content import FloatArray, IntArray
from .graph import Graph
from .shortest import NONE, backward, shortest


def cheapest_within(
    graph: Graph, cost: FloatArray, harm: FloatArray, budget: float, leave: FloatArray | None = None
) -> tuple[list[int], float]:
    """Links of the cheapest chain that harms no more than the budget, and its cost.

    An empty list and infinity when there is none.

    Parameters
    ----------
    cost, leave : as for ``shortest``; harm : (E,) of each link.
    """
    links, total = shortest(graph, cost, leave)
    if not links or math.isinf(budget) or float(harm[links].sum()) <= budget + SAME_HARM:
        return links, total
    onward, _ = backward(graph, np.where(np.isfinite(cost), harm, np.inf))
    paid, hurt = ([np.zeros(0)] * graph.num_nodes for _ in range(2))
    before, by = ([np.zeros(0, dtype=np.int64)] * graph.num_nodes for _ in range(2))
    paid[graph.source], hurt[graph.source] = np.zeros(1), np.zeros(1)
    for node, into in graph.groups:
        able = [i for i in range(into.start, into.stop) if cost[i] < np.inf]
        tails = [int(graph.tail[i]) for i in able]
        counts = [len(paid[tail]) for tail in tails]
        if not sum(counts):
            continue
        link = np.repeat(able, counts)
        label = np.concatenate([np.arange(count) for count in counts])
        whole = np.concatenate([paid[tail] for tail in tails]) + cost[link]
        harmed = np.concatenate([hurt[tail] for tail in tails]) + harm[link]
        at = np.flatnonzero(harmed + onward[node] <= budget + SAME_HARM)
        at = at[undominated(np.zeros(len(at), dtype=np.int64), whole[at], harmed[at])]
        paid[node], hurt[node], by[node], before[node] = whole[at], harmed[at], link[at], label[at]
    best, end = math.inf, (-1, -1)
    for node in graph.finals:
        for label_at, reached in enumerate(paid[node].tolist()):
            total = reached if leave is None else reached + float(leave[node])
            if total < best:
                best, end = total, (node, label_at)
    if end[0] < 0:
        return NONE
    chain: list[int] = []
    node, at_label = end
    while node != graph.source:
        link_at = int(by[node][at_label])
        chain.append(link_at)
        node, at_label = int(graph.tail[link_at]), int(before[node][at_label])
    return chain[::-1], best


def undominated(group: IntArray, cost: FloatArray, harm: FloatArray) -> IntArray:
    """Rows that no other row of their group beats in cost and harm; of equal ones the first."""
    order = np.lexsort((harm, cost, group))
    ranked, level = group[order], harm[order]
    # Groups come one after another, each below all before it: one running minimum does for all.
    span = float(level.max(initial=0.0)) + 1.0
    shifted = level - ranked * span
    before = np.minimum.accumulate(np.concatenate(([np.inf], shifted[:-1])))
    first = np.concatenate(([True], ranked[1:] != ranked[:-1]))
    found: IntArray = order[first | (shifted < before - SAME_HARM)]
    return found
