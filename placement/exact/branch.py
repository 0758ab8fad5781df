"""Branching on gaps and ends of spans, then on levels: best-first search over limits on servers.

On few servers limits on gaps and ends come first: they leave only chains that agree on a placement,
of which the relaxation knows nothing but levels. Gaps need no order, so where chains disagree on
them they are split before ends. On many servers there are too many of either.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from .bag import FINE, WORTHLESS, Bag, Priced
from .instance import Data
from .limits import NO_LIMITS, Limits
from .relaxed import most_passed
from .splits import BY_ENDS, LOST, Children, Split, ends_apart

#: Of what is missing, by how much the bound of a tree is to be raised next where every node raises
#: it by little; by all of it where it is not more than such a share of the target.
STEP, LITTLE = 0.25, 0.002


def passed_by_all(data: Data) -> int | None:
    """The largest server without which no class has a chain."""
    others = data.most.sum(axis=1)[:, None] - data.most
    passed = np.flatnonzero((others < data.length).all(axis=0))
    return max(passed.tolist(), key=lambda j: int(data.top[j]), default=None)


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
    splits : how nodes are split, the first that can be.
    apart : whether chains may leave out the server that stands last, and then have any ends.
    after : a tree that is to be exhausted first.
    close : a bound for a node that cannot be split, by other means, and whether it is final.
    on_leaf : told when the bag has just solved such a node: its chains agree on a placement.
    """

    bag: Bag
    bound: float
    splits: tuple[Split, ...] = BY_ENDS
    apart: bool = False
    after: Tree | None = None
    close: Callable[[Node], tuple[float, bool]] = lambda node: (node.bound, True)
    on_leaf: Callable[[], None] = lambda: None
    nodes: int = 0
    _open: list[Node] = field(default_factory=list)
    _turned: Limits = NO_LIMITS
    _planted: float = 0.0
    _given_up: float = float("inf")
    _goal: float = -np.inf
    _count: Iterator[int] = field(default_factory=lambda: itertools.count(0, -1))

    @property
    def raised(self) -> bool:
        """Whether the bound is above that of the root."""
        return self.bound > self._planted * (1.0 + LOST)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left that could raise the bound."""
        return not self._open or self._given_up <= self._open[0].bound

    @property
    def open_share(self) -> float:
        """Open nodes for one that is solved."""
        return len(self._open) / max(self.nodes, 1)

    @property
    def waits(self) -> bool:
        """Whether another tree comes first."""
        return self.after is not None and not self.after.exhausted

    def plant(self) -> None:
        """Split the root, which the bag has just solved."""
        self._planted = self.bound
        if self.bag.data.splits_ends:
            self._turned = self._first_ends()
        if not self._split(self.bound, NO_LIMITS):
            self._leave(self.bound, NO_LIMITS)
        self._settle()

    def _first_ends(self) -> Limits:
        """The ends of pinned servers; or a server that every chain passes, or most of them where
        the others stay apart, stands last.

        All chains that pass it leave it at its end, so what comes after may as well come first;
        gaps are the same after that.
        """
        data = self.bag.data
        if not data.is_free:
            return Limits(ends={j: (end, end) for j, (_, end) in data.pinned.items()})
        last = most_passed(self.bag.master) if self.apart else passed_by_all(data)
        if last is None:
            return NO_LIMITS
        ends = {last: (data.length, data.length)}
        return Limits(ends=ends, last=last if self.apart else None)

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
        worth = 0.0 if tight else FINE if self.apart else WORTHLESS
        found, converged = self.bag.solve(node.limits, node.known, worth=worth, until=self._until())
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

    def _until(self) -> float:
        """Where every node raises the bound by little, that to which the tree is to come next: what
        reaches it comes later, and needs no better one before."""
        if not self.apart:
            return np.inf
        if self.bound >= self._goal:
            target = self.bag.target()
            missing = target - self.bound
            self._goal = self.bound + STEP * missing if missing > LITTLE * target else np.inf
        return self._goal

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
        """Children of a node, or False where nothing is left to split."""
        children: Children = ()
        for split in self.splits:
            if split is ends_apart and not limits.ends and not self._turned.none:
                turned = self._turned
                children = children or (replace(limits, ends=turned.ends, last=turned.last),)
            children = children or split(self.bag, limits)
        for child in children:
            self._push(bound, child)
        return bool(children)

    def _settle(self) -> None:
        least = min([self._given_up, *(node.bound for node in self._open[:1])])
        self.bound = max(self.bound, least)
