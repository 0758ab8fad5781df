"""Down a tree of ends to placements that all chains agree on, for their plans: proves nothing."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from .bag import FINE, Bag, Priced
from .fixing import Survivors, among
from .limits import Limits
from .master import Master
from .relaxed import best_chains, most_passed, runs
from .splits import BY_ENDS, Children

#: Share of the sessions that run what stands first.
NEARLY_ALL = 0.9
#: Of what is missing, the least that a plan has to gain; nodes that are to gain less take long.
LEAST = 0.05
#: Chains of a class among which the sessions of a placement choose.
CHAINS = 40


def common_first(master: Master) -> Limits:
    """Limits under which servers where nearly all sessions run many blocks in the last solution
    stand first, one after another, with as many, and the one that most pass last: what is between
    has few servers and few orders."""
    shares = runs(master)[:, ::-1].cumsum(axis=1)[:, ::-1]
    last, length = most_passed(master), master.data.length
    ends, at = {last: (length, length)}, 0
    # Place 0 is of all visits, whatever they run.
    for j, most in enumerate(((shares >= NEARLY_ALL).sum(axis=1) - 1).tolist()):
        if most > 0 and j != last:
            at += most
            ends[j] = (at, at)
    return Limits(ends=ends)


@dataclass(slots=True, order=True)
class Left:
    """Limits that a dive has not gone below: what the relaxation costs there, and its prices."""

    value: float
    number: int
    limits: Limits = field(compare=False)
    known: Priced = field(compare=False)


@dataclass(slots=True)
class Dives:
    """Dives below some limits: each begins where the relaxation costs least of what those before
    have left on their way, and goes on at the child where it does."""

    bag: Bag
    limits: Limits
    _left: list[Left] = field(default_factory=list)
    _count: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        root = self.bag.root
        self._left = [Left(root.bound, next(self._count), self.limits, root)]

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left that is worth a plan."""
        while self._left and self._left[0].value >= self._worthwhile:
            heapq.heappop(self._left)
        return not self._left

    @property
    def _worthwhile(self) -> float:
        """What the relaxation must cost less than for a plan to be worth a dive."""
        target = self.bag.target()
        return target - LEAST * max(target - self.bag.root.bound, 0.0)

    def dive(self) -> Survivors | None:
        """What is left at the end of a dive; None where nothing there is worth a plan, or the bag
        has stopped."""
        bag, at = self.bag, heapq.heappop(self._left)
        while not bag.stopped() and at.value < self._worthwhile:
            bag.solve(at.limits, at.known)
            children = self._children(at.limits)
            if not children:
                return among(bag.data, best_chains(bag.master, CHAINS), at.limits.ends)
            known = bag.last
            at, *others = sorted(self._solved(child, known) for child in children)
            for other in others:
                heapq.heappush(self._left, other)
        heapq.heappush(self._left, at)
        return None

    def _solved(self, limits: Limits, known: Priced) -> Left:
        found, _ = self.bag.solve(limits, known, worth=FINE)
        value = max(found, self.bag.master.value)
        return Left(value, next(self._count), limits, self.bag.last)

    def _children(self, limits: Limits) -> Children:
        for split in BY_ENDS:
            if children := split(self.bag, limits):
                return children
        return ()
