"""Branching on where spans end, then on levels: best-first search over limits on the servers.

On few servers limits on ends come first: they leave only chains that agree on an order, which the
relaxation knows nothing of. On many servers there are too many of them.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from .bag import Bag, Priced
from .limits import NO_LIMITS, Limits, Range

#: A level with less spread around its mean, in blocks, is settled.
SPREAD = 1e-6


@dataclass(slots=True, order=True)
class Node:
    """Plans within limits, none of which is cheaper than ``bound``.

    Attributes
    ----------
    number : of nodes with the same bound the least, which is the latest, comes first.
    priced : where nothing splits it any more: its best prices, for the closing programme.
    tries : of that programme so far.
    """

    bound: float
    number: int
    limits: Limits = field(compare=False)
    priced: Priced | None = field(default=None, compare=False)
    tries: int = field(default=0, compare=False)


@dataclass(slots=True)
class Tree:
    """Open nodes by bound; every node inherits the columns and rows of all before it.

    Attributes
    ----------
    bound : of the whole problem: the least bound of a node that is open or given up.
    close : a bound for a node that cannot be split, by other means, and whether it is final.
    """

    bag: Bag
    bound: float
    close: Callable[[Node], tuple[float, bool]] = lambda node: (node.bound, True)
    nodes: int = 0
    _open: list[Node] = field(default_factory=list)
    _given_up: float = float("inf")
    _count: Iterator[int] = field(default_factory=lambda: itertools.count(0, -1))

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left that could raise the bound."""
        return not self._open or self._given_up <= self._open[0].bound

    def plant(self) -> None:
        """Split the root, which the bag has just solved."""
        self._split(self.bound, self._first_limits() if self._splits_ends else NO_LIMITS)
        self._settle()

    def _first_limits(self) -> Limits:
        """The ends of pinned servers; or a server that every chain passes stands last.

        All chains leave it at its end, so what comes after may as well come first.
        """
        data = self.bag.data
        if data.pinned or data.needs or not data.anywhere:
            return Limits(ends={j: (end, end) for j, (_, end) in data.pinned.items()})
        others = data.most.sum(axis=1)[:, None] - data.most
        passed = np.flatnonzero((others < data.length).all(axis=0))
        last = max(passed.tolist(), key=lambda j: int(data.top[j]), default=None)
        return NO_LIMITS if last is None else Limits(ends={last: (data.length, data.length)})

    def grow(self) -> None:
        """Solve nodes until the target, a limit or the end."""
        bag = self.bag
        while not self.exhausted and self.bound < bag.target() and not bag.stopped():
            node = heapq.heappop(self._open)
            try:
                if node.priced is None:
                    self._solve(node)
                else:
                    self._finish(node)
            except BaseException:
                heapq.heappush(self._open, node)
                raise
            self.nodes += 1
            self._settle()

    def _solve(self, node: Node) -> None:
        """The relaxation of a node, and its children."""
        found, converged = self.bag.solve(node.limits)
        node.bound = max(found, node.bound)
        if node.bound >= self.bag.target():
            self._given_up = min(self._given_up, node.bound)
        elif converged:
            self._split(node.bound, node.limits)
        else:
            heapq.heappush(self._open, node)

    def _finish(self, node: Node) -> None:
        """One try of the closing programme."""
        found, final = self.close(node)
        node.tries += 1
        node.bound = max(node.bound, found)
        if final or node.bound >= self.bag.target():
            self._given_up = min(self._given_up, node.bound)
        else:
            heapq.heappush(self._open, node)

    @property
    def _splits_ends(self) -> bool:
        """Whether there are few servers, in any order that chains like."""
        data = self.bag.data
        return data.is_small and data.positional and data.legs is None

    def _push(self, bound: float, limits: Limits) -> None:
        heapq.heappush(self._open, Node(bound, next(self._count), limits))

    def _split(self, bound: float, limits: Limits) -> None:
        """Two children; where nothing is left to split, the node is to be closed as it is."""
        server, (first, last) = self._widest_ends(limits)
        if first < last:
            middle = (first + last) // 2
            self._push(bound, limits.with_ends(server, (first, middle)))
            self._push(bound, limits.with_ends(server, (middle + 1, last)))
            return
        server, mean = self._widest_levels()
        if server >= 0:
            low, high = limits.levels.get(server, (0, int(self.bag.data.top[server])))
            cut = min(max(int(mean), low), high - 1)
            self._push(bound, limits.with_levels(server, (low, cut)))
            self._push(bound, limits.with_levels(server, (cut + 1, high)))
            return
        heapq.heappush(self._open, Node(bound, next(self._count), limits, self.bag.last))

    def _widest_ends(self, limits: Limits) -> tuple[int, Range]:
        """The server that is used most where its ends are least settled, and their range."""
        if not self._splits_ends:
            return -1, (0, 0)
        found = [
            (load * (last - first), j, (first, last))
            for j, load in self.bag.master.loads().items()
            for first, last in (limits.ends.get(j, (1, self.bag.data.length)),)
        ]
        _, server, ends = max(found, default=(0.0, -1, (0, 0)))
        return server, ends

    def _widest_levels(self) -> tuple[int, float]:
        """The server whose level is least settled, and its mean; -1 = all are settled."""
        spread = [
            (wide, server, mean)
            for server, (mean, wide) in self.bag.master.mean_levels().items()
            if wide > SPREAD
        ]
        _, server, mean = max(spread, default=(0.0, -1, 0.0))
        return server, mean

    def _settle(self) -> None:
        least = min([self._given_up, *(node.bound for node in self._open[:1])])
        self.bound = max(self.bound, least)
