"""Limits that branching puts on servers: how many blocks they host, where their spans end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core.content import FloatArray, IntArray
from ...core.jit import compiled

#: First and last of a range.
Range = tuple[int, int]
#: Orders of longer chains are not looked at (sets of visits double with each): these are allowed.
MOST_VISITS = 14
#: A range that leaves out nothing.
ANYWHERE = (0, 2**31)


class Chained(NamedTuple):
    """Visits of many chains one after another; those of chain i begin at ``first[i]``, and those
    of the last one end at ``first[-1]``."""

    first: IntArray
    servers: IntArray
    blocks: IntArray

    @classmethod
    def of(cls, chains: Iterable[Sequence[tuple[int, int]]]) -> Chained:
        """Chains of (server, blocks)."""
        every = [*chains]
        first = np.cumsum([0, *map(len, every)])
        visits = np.array([visit for chain in every for visit in chain], dtype=np.int64)
        servers, blocks = visits.reshape(-1, 2).T
        return cls(first, servers, blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """By server: ``levels``, the blocks it hosts, and ``ends``, the block after its span."""

    levels: dict[int, Range] = field(default_factory=dict)
    ends: dict[int, Range] = field(default_factory=dict)

    @property
    def none(self) -> bool:
        """Whether nothing is limited."""
        return not self.levels and not self.ends

    def with_levels(self, server: int, levels: Range) -> Limits:
        """The same and this."""
        return replace(self, levels={**self.levels, server: levels})

    def with_ends(self, server: int, ends: Range) -> Limits:
        """The same and this."""
        return replace(self, ends={**self.ends, server: ends})

    def allow(self, chains: Chained) -> NDArray[np.bool_]:
        """Which chains have visits that can follow each other in some order, all ending in
        range, or are too long to tell."""
        if not self.ends or not len(chains.servers):
            return np.ones(len(chains.first) - 1, dtype=bool)
        ends = np.full((int(chains.servers.max()) + 1, 2), ANYWHERE, dtype=np.int64)
        for j, limits in self.ends.items():
            if j < len(ends):
                ends[j] = limits
        return have_order(chains.first, np.column_stack((chains.blocks, ends[chains.servers])))

    def orders(self, visits: Sequence[tuple[int, int]], length: int) -> FloatArray:
        """(h, length + 1) share of the orders of these visits, all ending in range, in which each
        ends at each block; zeros where there is none, or too many to tell."""
        if len(visits) > MOST_VISITS:
            return np.zeros((len(visits), length + 1))
        found: FloatArray = orders(self._steps(visits), length)
        return found

    def _steps(self, visits: Sequence[tuple[int, int]]) -> IntArray:
        return np.array([(k, *self.ends.get(j, ANYWHERE)) for j, k in visits], dtype=np.int64)


@compiled
def has_order(steps: IntArray) -> bool:
    """Whether visits can follow each other from block 0 on.

    Parameters
    ----------
    steps : (h, 3) blocks of each visit, the first and the last block after which it may end.
    """
    every = 1 << len(steps)
    # Which visits are done tells how many blocks are: every set is looked at once.
    reached, at = np.zeros(every, np.bool_), np.zeros(every, np.int64)
    reached[0] = True
    for done in range(every):
        if reached[done]:
            for i in range(len(steps)):
                end = at[done] + steps[i, 0]
                if not done >> i & 1 and steps[i, 1] <= end <= steps[i, 2]:
                    reached[done | 1 << i], at[done | 1 << i] = True, end
    return bool(reached[every - 1])


@compiled
def have_order(first: IntArray, steps: IntArray) -> NDArray[np.bool_]:
    """``has_order`` of many chains: the visits of chain i begin at ``steps[first[i]]``."""
    found = np.zeros(len(first) - 1, np.bool_)
    for i in range(len(found)):
        chain = steps[first[i] : first[i + 1]]
        found[i] = len(chain) > MOST_VISITS or has_order(chain)
    return found


@compiled
def orders(steps: IntArray, length: int) -> FloatArray:
    """(h, length + 1) in which share of the orders of ``has_order`` each visit ends where.

    Zeros if there is none.
    """
    every, count = 1 << len(steps), len(steps)
    before, after = np.zeros(every), np.zeros(every)
    at = np.zeros(every, np.int64)
    before[0] = after[every - 1] = 1.0
    for done in range(1, every):
        for i in range(count):
            if done >> i & 1:
                end = at[done ^ 1 << i] + steps[i, 0]
                at[done] = end
                if steps[i, 1] <= end <= steps[i, 2]:
                    before[done] += before[done ^ 1 << i]
    shares = np.zeros((count, length + 1))
    if before[every - 1] == 0.0:
        return shares
    for done in range(every - 2, -1, -1):
        if before[done] == 0.0:
            continue
        for i in range(count):
            end = at[done] + steps[i, 0]
            if not done >> i & 1 and steps[i, 1] <= end <= steps[i, 2]:
                after[done] += after[done | 1 << i]
                shares[i, end] += before[done] * after[done | 1 << i]
    found: FloatArray = shares / before[every - 1]
    return found


NO_LIMITS = Limits()
