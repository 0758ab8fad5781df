"""Limits that branching puts on servers: how many blocks they host, where their spans end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...core.content import IntArray
from ...core.jit import compiled

#: First and last of a range.
Range = tuple[int, int]
#: A range that leaves out nothing.
ANYWHERE = (0, 2**31)


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

    def allow(self, visits: Sequence[tuple[int, int]]) -> bool:
        """Whether (server, blocks) can follow each other in some order, all ending in range."""
        if not any(j in self.ends for j, _ in visits):
            return True
        steps = np.array([(k, *self.ends.get(j, ANYWHERE)) for j, k in visits], dtype=np.int64)
        return bool(has_order(steps))


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


NO_LIMITS = Limits()
