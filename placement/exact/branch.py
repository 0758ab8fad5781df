"""Branching on where spans end, then on levels: best-first search over limits on the servers.

On few servers limits on ends come first: they leave only chains that agree on an order, which the
relaxation knows nothing of. They are split where its chains disagree. On many servers there are too
many of them.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from .bag import Bag, Priced
from .limits import NO_LIMITS, Limits
from .relaxed import carried, mean_levels

#: A level with less spread around its mean, in blocks, is settled.
SPREAD = 1e-6
#: How much more it counts to lose all orders of a chain than to lose some.
POWER = 3.0
#: Sessions' worth of orders below which nothing is lost.
LOST = 1e-6


@dataclass(slots=True, order=True)
class Node:
    """Plans within limits, none of which is cheaper than ``bound``.

    Attributes
    ----------
    number : of nodes with the same bound the least, which is the latest, comes first.
    priced : where nothing splits it any more: its best prices, for the closing programme.
    tries : of that programme so far.
    known : the best prices of the node that it was split from, or its own so far.
    """

    bound: float
    number: int
    limits: Limits = field(compare=False)
    priced: Priced | None = field(default=None, compare=False)
    tries: int = field(default=0, compare=False)
    known: Priced = field(default_factory=Priced, compare=False)


@dataclass(slots=True)
class Tree:
    """Open nodes by bound; every node inherits the columns and rows of all before it.

    Attributes
    ----------
    bound : of the whole problem: the least bound of a node that is open or given up.
    close : a bound for a node that cannot be split, by other means, and whether it is final.
    on_leaf : told when the bag has just solved such a node: its chains agree on a placement.
    """

    bag: Bag
    bound: float
    close: Callable[[Node], tuple[float, bool]] = lambda node: (node.bound, True)
    on_leaf: Callable[[], None] = lambda: None
    nodes: int = 0
    _open: list[Node] = field(default_factory=list)
    _given_up: float = float("inf")
    _count: Iterator[int] = field(default_factory=lambda: itertools.count(0, -1))

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left that could raise the bound."""
        return not self._open or self._given_up <= self._open[0].bound

    def plant(self) -> None:
        """Split the root, which the bag has just solved, or begin with its limits."""
        limits = self._first_limits() if self.bag.data.splits_ends else NO_LIMITS
        if not limits.none:
            self._push(self.bound, limits)
        elif not self._split(self.bound, limits):
            self._leave(self.bound, limits)
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

    def _solve(self, node: Node, *, tight: bool = False) -> None:
        """The relaxation of a node, and its children; ``tight`` where it seems to have none."""
        found, converged = self.bag.solve(node.limits, node.known, tight=tight)
        node.bound, node.known = max(found, node.bound), self.bag.last
        if node.bound >= self.bag.target():
            self._given_up = min(self._given_up, node.bound)
        elif not converged:
            heapq.heappush(self._open, node)
        elif not self._split(node.bound, node.limits):
            if tight:
                self._leave(node.bound, node.limits)
            else:
                self._solve(node, tight=True)

    def _leave(self, bound: float, limits: Limits) -> None:
        """A node is to be closed as it is."""
        heapq.heappush(self._open, Node(bound, next(self._count), limits, self.bag.last))
        self.on_leaf()

    def _finish(self, node: Node) -> None:
        """One try of the closing programme."""
        found, final = self.close(node)
        node.tries += 1
        node.bound = max(node.bound, found)
        if final or node.bound >= self.bag.target():
            self._given_up = min(self._given_up, node.bound)
        else:
            heapq.heappush(self._open, node)

    def _push(self, bound: float, limits: Limits) -> None:
        heapq.heappush(self._open, Node(bound, next(self._count), limits, known=self.bag.last))

    def _split(self, bound: float, limits: Limits) -> bool:
        """Two children, or False where nothing is left to split.

        First the ends on which chains disagree, then levels, then ends as the chains have them.
        """
        server, cut = self._best_end(limits)
        if server < 0:
            level, mean = self._widest_levels()
            if level >= 0:
                low, high = limits.levels.get(level, (0, int(self.bag.data.top[level])))
                at = min(max(int(mean), low), high - 1)
                self._push(bound, limits.with_levels(level, (low, at)))
                self._push(bound, limits.with_levels(level, (at + 1, high)))
                return True
            server, cut = self._widest_ends(limits)
        if server < 0:
            return False
        first, last = limits.ends.get(server, (1, self.bag.data.length))
        self._push(bound, limits.with_ends(server, (first, cut)))
        self._push(bound, limits.with_ends(server, (cut + 1, last)))
        return True

    def _best_end(self, limits: Limits) -> tuple[int, int]:
        """The server and the block at which to split its ends so that both children lose most of
        the relaxation's chains, or of the orders that these may have; -1 = nothing is lost."""
        if not self.bag.data.splits_ends:
            return -1, 0
        length = self.bag.data.length
        lost = np.zeros((2, len(self.bag.data.top), length + 1))
        for visits, sessions in carried(self.bag.master):
            shares = limits.orders(visits, length)
            if not shares.any():
                continue
            shares = shares.cumsum(axis=1).clip(max=1.0)
            for (j, _), below in zip(visits, shares, strict=True):
                lost[0, j] += sessions * np.round(1.0 - below, 9) ** POWER
                lost[1, j] += sessions * below**POWER
        score = lost.min(axis=0)
        server, cut = np.unravel_index(int(score.argmax()), score.shape)
        return (int(server), int(cut)) if score[server, cut] > LOST else (-1, 0)

    def _widest_ends(self, limits: Limits) -> tuple[int, int]:
        """The server that is used most where its ends are least settled, and where to split them
        so that where it ends in the relaxation is on one side."""
        if not self.bag.data.splits_ends:
            return -1, 0
        found: dict[int, tuple[float, int]] = {}
        for visits, sessions in carried(self.bag.master):
            orders = limits.orders(visits, self.bag.data.length)
            for (j, k), shares in zip(visits, orders, strict=True):
                first, last = limits.ends.get(j, (1, self.bag.data.length))
                if first < last:
                    end = int(shares.argmax()) if shares.any() else (first + last) // 2
                    found[j] = found.get(j, (0.0, 0))[0] + sessions * k, end
        if not found:
            return -1, 0
        server = max(found, key=lambda j: found[j][0])
        end, first = found[server][1], limits.ends.get(server, (1, 0))[0]
        return server, end - 1 if end > first else end

    def _widest_levels(self) -> tuple[int, float]:
        """The server whose level is least settled, and its mean; -1 = all are settled."""
        spread = [
            (wide, server, mean)
            for server, (mean, wide) in mean_levels(self.bag.master).items()
            if wide > SPREAD
        ]
        _, server, mean = max(spread, default=(0.0, -1, 0.0))
        return server, mean

    def _settle(self) -> None:
        least = min([self._given_up, *(node.bound for node in self._open[:1])])
        self.bound = max(self.bound, least)
