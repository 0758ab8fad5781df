"""The cheapest chains whose servers have *gaps* in given ranges (docs/exact.md 5).

Sort the servers that chains pass by where their spans end: the gap of a server is what lies between
the end before and its own, 0 where nobody passes it. All gaps together are the model. A chain that
passes a server runs at least its gap there, and the gap of a server that a chain leaves out is run
by the one that it passes next, beside its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...core.content import FloatArray, IntArray
from ...core.jit import compiled
from .instance import Data
from .limits import Range
from .pricing import Price, Visits


def narrowed(gaps: Mapping[int, Range], top: IntArray, length: int) -> dict[int, Range] | None:
    """Ranges of all usable servers, without what leaves too little or too much for the others.

    Parameters
    ----------
    gaps : by server, where they are less than anything.
    top : (n,) most blocks of each server.

    Returns
    -------
    None where no gaps add up to ``length``.
    """
    low, high = np.zeros(len(top), dtype=np.int64), np.array(top)
    for j, (least, most) in gaps.items():
        low[j], high[j] = least, min(most, high[j])
    while low.sum() <= length <= high.sum() and (low <= high).all():
        less, more = high.sum() - length, length - low.sum()
        nearer = np.maximum(low, high - less), np.minimum(high, low + more)
        if (nearer[0] == low).all() and (nearer[1] == high).all():
            return {j: (int(low[j]), int(high[j])) for j in np.flatnonzero(top).tolist()}
        low, high = nearer
    return None


@compiled
def sweep(cost: FloatArray, least: IntArray, mark: int, out: FloatArray) -> None:
    """Fill ``out[i, f, q]``: the least cost of q blocks on the first i servers.

    No server is left out whose least gap is more than ``mark``. With f = 1 some visit is longer
    than its server's least gap by ``mark`` at least: it may run what is left out.

    Parameters
    ----------
    cost : (n, K) of 1..K blocks at each server, inf = not possible.
    least : (n,) gaps.
    out : (n + 1, 2, L + 1).
    """
    length = out.shape[2] - 1
    out[:] = np.inf
    out[0, 0, 0] = 0.0
    for i in range(len(cost)):
        if least[i] <= mark:
            out[i + 1] = out[i]
        for flag in range(2):
            for k in range(max(least[i], 1), min(cost.shape[1], length) + 1):
                if cost[i, k - 1] == np.inf:
                    continue
                after = out[i + 1, 1 if flag or k - least[i] >= mark else 0]
                for q in range(length + 1 - k):
                    after[q + k] = min(after[q + k], out[i, flag, q] + cost[i, k - 1])


@compiled
def trace(cost: FloatArray, least: IntArray, mark: int, table: FloatArray, steps: IntArray) -> int:
    """Write the visits (server's number, blocks) of the cheapest chain of ``sweep``; how many."""
    flag, at, count = 1, table.shape[2] - 1, 0
    for i in range(len(cost) - 1, -1, -1):
        best, blocks, before = np.inf, 0, flag
        if least[i] <= mark:
            best = table[i, flag, at]
        for f in range(flag + 1):
            for k in range(max(least[i], 1), min(cost.shape[1], at) + 1):
                if (1 if f or k - least[i] >= mark else 0) == flag:
                    found = table[i, f, at - k] + cost[i, k - 1]
                    if found < best:
                        best, blocks, before = found, k, f
        if blocks:
            steps[count, 0], steps[count, 1] = i, blocks
            count, at, flag = count + 1, at - blocks, before
    return count


@compiled
def cheapest(
    cost: FloatArray, least: IntArray, marks: IntArray, table: FloatArray, steps: IntArray
) -> tuple[float, int]:
    """The least cost of a chain that leaves out gaps of up to some mark, inf where there is none,
    and the number of its visits, which ``steps`` has."""
    best, count = np.inf, 0
    for mark in marks:
        sweep(cost, least, mark, table)
        if table[-1, 1, -1] < best:
            best = table[-1, 1, -1]
            count = trace(cost, least, mark, table, steps)
    return best, count


class GappedChains:
    """The cheapest chain of every class; ``cost[c]`` is inf where there is none.

    A chain may leave out a server only if another visit is longer than its own least gap by that of
    the one left out.

    Parameters
    ----------
    prices : of all usable servers.
    gaps : by server, their ranges.
    """

    def __init__(self, data: Data, prices: list[Price], gaps: Mapping[int, Range]) -> None:
        classes, widest = len(data.sessions), max(p.extra.shape[1] for p in prices)
        least = np.array([gaps.get(j, (0, 0))[0] for j, _ in prices], dtype=np.int64)
        marks = np.unique(np.append(least, 0))
        table = np.empty((len(prices) + 1, 2, data.length + 1))
        steps = np.zeros((len(prices), 2), dtype=np.int64)
        self.cost: FloatArray = np.empty(classes)
        self._chains: list[Visits] = []
        for row in range(classes):
            cost = np.full((len(prices), widest), np.inf)
            for i, (j, extra) in enumerate(prices):
                width = extra.shape[1]
                cost[i, :width] = data.visits(j, width)[row] + extra[row]
            found, count = cheapest(cost, least, marks, table, steps)
            self.cost[row] = found + data.base[row]
            self._chains.append(tuple((prices[i].server, k) for i, k in steps[:count].tolist()))

    def chain(self, row: int) -> Visits:
        """Visits of the cheapest chain of a class, which must exist."""
        return self._chains[row]
