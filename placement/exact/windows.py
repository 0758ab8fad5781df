"""The cheapest chains whose visits end in given ranges of blocks: positions in place of a knapsack.

A dynamic programme over blocks done: visits of any server may come next, if they end where the
server's span may end. A server must not come twice in a chain. That is kept track of only for
*critical* servers, those that come twice in the cheapest chain of a class otherwise; where there
are too many of them the costs are lower bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from ...core.content import FloatArray, IntArray
from ...core.jit import compiled
from .instance import Data
from .limits import Range
from .pricing import Chains, Price, Visits, prefix_tables

#: Servers whose visits are kept track of at most; each doubles the work.
MOST_CRITICAL = 10


@compiled
def sweep(
    cost: FloatArray,
    reach: IntArray,
    bit: IntArray,
    out: FloatArray,
) -> None:
    """Fill ``out[q, S]``: the least cost of q blocks with visits to the critical servers S.

    Parameters
    ----------
    cost : (n, K) of 1..K blocks at each server, inf = not possible.
    reach : (n, L + 1) most blocks of a visit that ends at each block, 0 = none may.
    bit : (n,) of critical servers in S, -1 for the others.
    out : (L + 1, sets), inf but for ``out[0, 0]``.
    """
    sets = out.shape[1]
    for end in range(1, out.shape[0]):
        after = out[end]
        for j in range(len(reach)):
            mine = 0 if bit[j] < 0 else 1 << bit[j]
            for k in range(1, reach[j, end] + 1):
                visit = cost[j, k - 1]
                if visit == np.inf:
                    continue
                before = out[end - k]
                # Sets without this server come in runs as long as its bit, every other one.
                run, every = (mine, 2 * mine) if mine else (sets, sets)
                for start in range(0, sets, every):
                    for chosen in range(start, start + run):
                        after[chosen + mine] = min(after[chosen + mine], before[chosen] + visit)


class WindowedChains:
    """The cheapest chain of every class; ``cost[c]`` is inf where there is none.

    Parameters
    ----------
    prices : of all usable servers.
    ends : by server, where visits may end; anywhere where left out.
    last : chains that do not pass this server may end their visits anywhere.
    """

    def __init__(
        self,
        data: Data,
        prices: list[Price],
        ends: Mapping[int, Range],
        last: int | None = None,
    ) -> None:
        self._data = data
        self._servers = [p.server for p in prices]
        widest = max(p.extra.shape[1] for p in prices)
        classes = len(data.sessions)
        self._cost = np.full((classes, len(prices), widest), np.inf)
        for i, (j, extra) in enumerate(prices):
            self._cost[:, i, : extra.shape[1]] = data.visits(j, extra.shape[1]) + extra
        self._reach = data.reach[self._servers]
        for i, j in enumerate(self._servers):
            first, end = ends.get(j, (1, data.length))
            self._reach[i, :first] = self._reach[i, end + 1 :] = 0
            if last is not None and j != last:
                self._reach[i, -1] = 0
        self._bit = np.full((classes, len(prices)), -1, dtype=np.int64)
        self._tables: list[FloatArray] = []
        self._chains: list[Visits] = []
        self.cost: FloatArray = np.empty(classes)
        for row in range(classes):
            self._price(row)
        if last is not None:
            self._without(prices, last)

    def _without(self, prices: list[Price], server: int) -> None:
        """Take the cheapest chain that does not pass a server where that is cheaper."""
        nothing = prefix_tables(self._data, np.zeros(0, dtype=np.int64))
        apart = Chains(self._data, [p for p in prices if p.server != server], nothing)
        for row in np.flatnonzero(apart.cost < self.cost).tolist():
            self.cost[row], self._chains[row] = apart.cost[row], apart.chain(row)

    def _price(self, row: int) -> None:
        """The table of a class, with as many critical servers as it takes."""
        critical: list[int] = []
        while True:
            table = np.full((self._data.length + 1, 1 << len(critical)), np.inf)
            table[0, 0] = 0.0
            sweep(self._cost[row], self._reach, self._bit[row], table)
            chain: Visits = ()
            least = float(table[-1].min())
            if least < np.inf:
                chain = self._trace(row, table)
            times = Counter(j for j, _ in chain)
            more = sorted(j for j, seen in times.items() if seen > 1)
            more = more[: MOST_CRITICAL - len(critical)]
            if not more:
                break
            for j in more:
                self._bit[row, self._servers.index(j)] = len(critical)
                critical.append(j)
        self._tables.append(table)
        self._chains.append(chain)
        self.cost[row] = least + self._data.base[row]

    def chain(self, row: int) -> Visits:
        """Visits of the cheapest chain of a class, which must exist."""
        return self._chains[row]

    def _trace(self, row: int, table: FloatArray) -> Visits:
        at = self._data.length
        steps = np.zeros((at, 2), dtype=np.int64)
        count = trace(self._cost[row], self._reach, self._bit[row], table, steps)
        return tuple((self._servers[i], int(k)) for i, k in steps[:count].tolist())


@compiled
def trace(
    cost: FloatArray, reach: IntArray, bit: IntArray, table: FloatArray, steps: IntArray
) -> int:
    """Write the visits (server's number, blocks) of the cheapest chain from its end; how many."""
    at, count = len(table) - 1, 0
    chosen = int(np.argmin(table[at]))
    while at:
        least, server, blocks, left = np.inf, -1, 0, 0
        for j in range(len(reach)):
            mine = 0 if bit[j] < 0 else 1 << bit[j]
            if chosen & mine != mine:
                continue
            for k in range(1, reach[j, at] + 1):
                found = table[at - k, chosen ^ mine] + cost[j, k - 1]
                if found < least:
                    least, server, blocks, left = found, j, k, chosen ^ mine
        steps[count, 0], steps[count, 1] = server, blocks
        count, at, chosen = count + 1, at - blocks, left
    return count
