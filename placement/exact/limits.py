"""Limits that branching puts on servers: what they host, their ends, what lies between ends."""

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
    """By server: ``levels``, the blocks it hosts; ``ends``, the block after its span; ``gaps``, the
    blocks between the end before and that one. Chains that do not pass ``last``, where there is
    such a server, may have whatever ends they like."""

    levels: dict[int, Range] = field(default_factory=dict)
    ends: dict[int, Range] = field(default_factory=dict)
    gaps: dict[int, Range] = field(default_factory=dict)
    last: int | None = None

    @property
    def none(self) -> bool:
        """Whether nothing is limited."""
        return not self.levels and not self.ends and not self.gaps

    def with_levels(self, server: int, levels: Range) -> Limits:
        """The same and this."""
        return replace(self, levels={**self.levels, server: levels})

    def with_ends(self, server: int, ends: Range) -> Limits:
        """The same and this."""
        return replace(self, ends={**self.ends, server: ends})

    def with_gaps(self, gaps: dict[int, Range]) -> Limits:
        """The same but for these."""
        return replace(self, gaps=gaps)

    def least_gap(self, server: int) -> int:
        """Blocks that every chain runs there which passes the server."""
        return self.gaps.get(server, (0, 0))[0]

    def hosted(self, server: int, most: int) -> Range:
        """How many blocks a server may host, of 0 to ``most``."""
        low, high = self.levels.get(server, (0, most))
        return max(low, self.least_gap(server)), high

    def allow(self, chains: Chained) -> NDArray[np.bool_]:
        """Which chains have visits that can follow each other in some order, all ending in
        range, or are too long to tell; and run the gaps of what they pass and leave out."""
        allowed = np.ones(len(chains.first) - 1, dtype=bool)
        if not len(chains.servers):
            return allowed
        if self.gaps:
            least = np.zeros(max(int(chains.servers.max()), *self.gaps) + 1, dtype=np.int64)
            least[[*self.gaps]] = [low for low, _ in self.gaps.values()]
            allowed &= have_gaps(chains.first, chains.servers, chains.blocks, least)
        if self.ends:
            allowed &= self._ordered(chains)
        return allowed

    def _ordered(self, chains: Chained) -> NDArray[np.bool_]:
        ends = np.full((int(chains.servers.max()) + 1, 2), ANYWHERE, dtype=np.int64)
        for j, limits in self.ends.items():
            if j < len(ends):
                ends[j] = limits
        steps = np.column_stack((chains.blocks, ends[chains.servers]))
        found: NDArray[np.bool_] = have_order(chains.first, steps)
        if self.last is not None:
            found |= ~np.logical_or.reduceat(chains.servers == self.last, chains.first[:-1])
        return found

    def orders(self, visits: Sequence[tuple[int, int]], length: int) -> FloatArray:
        """(h, length + 1) share of the orders of these visits, all ending in range, in which each
        ends at each block; zeros where there is none, too many to tell, or no matter."""
        apart = self.last is not None and self.last not in dict(visits)
        if apart or len(visits) > MOST_VISITS:
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
def have_gaps(
    first: IntArray, servers: IntArray, blocks: IntArray, least: IntArray
) -> NDArray[np.bool_]:
    """Which chains run at least the gap of every server that they pass, and somewhere beside one
    the largest that they leave out.

    Parameters
    ----------
    first, servers, blocks : as of ``Chained``.
    least : (servers,) gaps.
    """
    found = np.zeros(len(first) - 1, np.bool_)
    for i in range(len(found)):
        left, beside, fits = least.copy(), 0, True
        for at in range(first[i], first[i + 1]):
            spare = blocks[at] - least[servers[at]]
            left[servers[at]] = 0
            beside, fits = max(beside, spare), fits and spare >= 0
        found[i] = fits and left.max() <= beside
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
