"""Branching on levels: best-first search over limits on how many blocks the servers host."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

from .bag import Bag, Limits


@dataclass(slots=True)
class Tree:
    """Open nodes by bound; every node inherits the columns and rows of all before it.

    Attributes
    ----------
    bound : of the whole problem: the least bound of an open node, or of one that branching on
        levels cannot split any more.
    exhausted : no node is left to split.
    """

    bag: Bag
    bound: float
    nodes: int = 0
    _open: list[tuple[float, int, Limits]] = field(default_factory=list)
    _settled: float = float("inf")
    _count: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to split."""
        return not self._open

    def plant(self) -> None:
        """Split the root, which the bag has just solved."""
        self._split(self.bound, {})
        self._settle()

    def grow(self) -> None:
        """Solve nodes until the target, a limit or the end."""
        bag = self.bag
        while self._open and self.bound < bag.target() and not bag.stopped():
            above, number, limits = heapq.heappop(self._open)
            try:
                found, converged = bag.solve(limits)
            except BaseException:
                heapq.heappush(self._open, (above, number, limits))
                raise
            self.nodes += 1
            found = max(found, above)
            if found >= bag.target():
                self._settled = min(self._settled, found)
            elif converged:
                self._split(found, limits)
            else:
                heapq.heappush(self._open, (found, number, limits))
            self._settle()

    def _split(self, bound: float, limits: Limits) -> None:
        """Two children at the server whose level is least settled; none: the node stays a bound."""
        spread = [
            (wide, server, mean)
            for server, (mean, wide) in self.bag.master.mean_levels().items()
            if wide > 1e-6
        ]
        if not spread:
            self._settled = min(self._settled, bound)
            return
        _, server, mean = max(spread)
        low, high = limits.get(server, (0, int(self.bag.data.top[server])))
        cut = min(max(int(mean), low), high - 1)
        for child in ((low, cut), (cut + 1, high)):
            heapq.heappush(self._open, (bound, next(self._count), {**limits, server: child}))

    def _settle(self) -> None:
        least = min([self._settled, *(b for b, _, _ in self._open)])
        self.bound = max(self.bound, least)
