"""Branching on levels: best-first search over limits on how many blocks the servers host."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from .bag import Bag, Limits, Priced


@dataclass(slots=True, order=True)
class Node:
    """Plans whose levels are within limits, none of which is cheaper than ``bound``.

    Attributes
    ----------
    priced : where levels cannot split it any more: its best prices, for the closing programme.
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
    close : a better bound for a node whose levels are settled, by other means; None = there are
        none, the node is given up.
    """

    bag: Bag
    bound: float
    close: Callable[[Node], float | None] = lambda _: None
    nodes: int = 0
    _open: list[Node] = field(default_factory=list)
    _given_up: float = float("inf")
    _count: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to split or to close."""
        return not self._open

    def plant(self) -> None:
        """Split the root, which the bag has just solved."""
        self._split(self.bound, {})
        self._settle()

    def grow(self) -> None:
        """Solve nodes until the target, a limit or the end."""
        bag = self.bag
        while self._open and self.bound < bag.target() and not bag.stopped():
            node = heapq.heappop(self._open)
            try:
                self._solve(node) if node.priced is None else self._finish(node)
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
        found = self.close(node)
        node.tries += 1
        node.bound = max(node.bound, node.bound if found is None else found)
        if found is None or node.bound >= self.bag.target():
            self._given_up = min(self._given_up, node.bound)
        else:
            heapq.heappush(self._open, node)

    def _split(self, bound: float, limits: Limits) -> None:
        """Two children at the server whose level is least settled; none: the node is to be closed
        as it is."""
        spread = [
            (wide, server, mean)
            for server, (mean, wide) in self.bag.master.mean_levels().items()
            if wide > 1e-6
        ]
        if not spread:
            whole = Node(bound, next(self._count), limits, self.bag.last)
            heapq.heappush(self._open, whole)
            return
        _, server, mean = max(spread)
        low, high = limits.get(server, (0, int(self.bag.data.top[server])))
        cut = min(max(int(mean), low), high - 1)
        for child in ((low, cut), (cut + 1, high)):
            heapq.heappush(self._open, Node(bound, next(self._count), {**limits, server: child}))

    def _settle(self) -> None:
        least = min([self._given_up, *(node.bound for node in self._open[:1])])
        self.bound = max(self.bound, least)
