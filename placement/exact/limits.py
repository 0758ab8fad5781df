"""Limits that branching puts on servers: how many blocks they host, where their spans end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

#: First and last of a range.
Range = tuple[int, int]


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

    def allow(self, visits: Sequence[tuple[int, int]], at: int = 0) -> bool:
        """Whether (server, blocks) can follow each other in some order, each ending in its range,
        when they begin at block ``at``."""
        if not any(j in self.ends for j, _ in visits):
            return True
        for i, (j, k) in enumerate(visits):
            first, last = self.ends.get(j, (0, at + k))
            if first <= at + k <= last and self.allow((*visits[:i], *visits[i + 1 :]), at + k):
                return True
        return False


NO_LIMITS = Limits()
