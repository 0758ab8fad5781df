"""The cheapest chains whose visits end in given ranges of blocks: positions in place of a knapsack.

A dynamic programme over blocks done: visits of any server may come next, if they end where the
server's span may end. A server must not come twice in a chain. That is kept track of only for
*critical* servers, those that have come twice before; where there are too many of them the costs
are lower bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from ...core.content import FloatArray, IntArray
from ...core.jit import compiled
from .instance import Data
from .limits import Range
from .pricing import Price, Visits

#: Servers whose visits are kept track of at most; each doubles the work.
MOST_CRITICAL = 10


@compiled
def sweep(
    cost: FloatArray,
    reach: IntArray,
    bit: IntArray,
    out: FloatArray,
) -> None:
    """Fill ``out[c, q, S]``: the least cost of q blocks with visits to the critical servers S.

    Parameters
    ----------
    cost : (n, C, K) of 1..K blocks at each server, inf = not possible.
    reach : (n, L + 1) most blocks of a visit that ends at each block, 0 = none may.
    bit : (n,) of critical servers in S, -1 for the others.
    out : (C, L + 1, sets), inf but for ``out[:, 0, 0]``.
    """
    sets = out.shape[2]
    for c in range(out.shape[0]):
        for end in range(1, out.shape[1]):
            for j in range(len(reach)):
                mine = 0 if bit[j] < 0 else 1 << bit[j]
                for k in range(1, reach[j, end] + 1):
                    visit = cost[j, c, k - 1]
                    if visit == np.inf:
                        continue
                    before, after = out[c, end - k], out[c, end]
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
    critical : servers that must not come twice; grows by those that did.
    """

    def __init__(
        self, data: Data, prices: list[Price], ends: Mapping[int, Range], critical: list[int]
    ) -> None:
        self._data = data
        self._servers = [p.server for p in prices]
        widest = max(p.extra.shape[1] for p in prices)
        self._cost = np.full((len(prices), len(data.sessions), widest), np.inf)
        for i, (j, extra) in enumerate(prices):
            self._cost[i, :, : extra.shape[1]] = data.visits(j, extra.shape[1]) + extra
        self._reach = data.reach[self._servers]
        for i, j in enumerate(self._servers):
            first, last = ends.get(j, (1, data.length))
            self._reach[i, :first] = self._reach[i, last + 1 :] = 0
        while True:
            self._fill(critical)
            twice = {j for row in range(len(self.cost)) for j in self.twice(row)}
            more = sorted(twice.difference(critical))[: MOST_CRITICAL - len(critical)]
            if not more:
                return
            critical += more

    def _fill(self, critical: list[int]) -> None:
        data = self._data
        bits = [critical.index(j) if j in critical else -1 for j in self._servers]
        self._bit = np.array(bits, dtype=np.int64)
        shape = len(data.sessions), data.length + 1, 1 << len(critical)
        self._tables = np.full(shape, np.inf)
        self._tables[:, 0, 0] = 0.0
        sweep(self._cost, self._reach, self._bit, self._tables)
        self.cost: FloatArray = self._tables[:, -1].min(axis=1) + data.base

    def twice(self, row: int) -> set[int]:
        """Servers that come twice in the cheapest chain of a class."""
        if not np.isfinite(self.cost[row]):
            return set()
        return {j for j, times in Counter(j for j, _ in self.chain(row)).items() if times > 1}

    def chain(self, row: int) -> Visits:
        """Visits of the cheapest chain of a class, which must exist."""
        table, at = self._tables[row], self._data.length
        chosen, visits = int(table[at].argmin()), []
        while at:
            i, k, chosen = self._last_visit(row, at, chosen)
            visits.append((self._servers[i], k))
            at -= k
        return tuple(visits)

    def _last_visit(self, row: int, at: int, chosen: int) -> tuple[int, int, int]:
        """The server (by number) and the blocks of the last visit, and the critical ones before."""
        table, least, found = self._tables[row], np.inf, (-1, 0, 0)
        for i in np.flatnonzero(self._reach[:, at]).tolist():
            mine = 0 if self._bit[i] < 0 else 1 << int(self._bit[i])
            if chosen & mine != mine:
                continue
            run = np.arange(1, int(self._reach[i, at]) + 1)
            reached = table[at - run, chosen ^ mine] + self._cost[i, row, run - 1]
            k = int(reached.argmin())
            if reached[k] < least:
                least, found = float(reached[k]), (i, k + 1, chosen ^ mine)
        return found
