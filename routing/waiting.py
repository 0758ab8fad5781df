"""When a request that finds its servers full is tried again."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: PETALS' clients wait 1, 2, 4 ... s between tries, at most this long.
LONGEST_PAUSE_S = 60.0


def pause_s(tries: int) -> float:
    """Pause before try number ``tries`` + 1 (``tries`` >= 1 failed ones): 1, 2, 4 ... 60 s."""
    return min(2.0 ** min(tries - 1, 16), LONGEST_PAUSE_S)


def retry_instant_s(wait_s: float) -> float:
    """The first instant 0, 1, 3, 7, 15, 31, 63, 123 ... s after arrival that is >= ``wait_s``."""
    if wait_s <= 0:
        return 0.0
    if math.isinf(wait_s):
        return wait_s
    if wait_s > 63.0:
        return 63.0 + LONGEST_PAUSE_S * math.ceil((wait_s - 63.0) / LONGEST_PAUSE_S)
    instant = 1.0
    while instant < wait_s:
        instant = 2.0 * instant + 1.0
    return instant


#: How much shorter or longer than PETALS' pause one by size is at most.
SHORTEST, LONGEST = 0.25, 4.0


@dataclass(slots=True)
class Sizes:
    """What a client's sessions take of memory, in token seconds (mutable: those so far)."""

    count: int = 0
    total: float = 0.0

    def seen(self, size: float) -> None:
        """One more session."""
        self.count += 1
        self.total += size

    def times(self, size: float) -> float:
        """By how much the pauses of a session of this size are longer than those of the mean."""
        mean = self.total / self.count if self.count else 0.0
        return min(max(size / mean, SHORTEST), LONGEST) if mean > 0 else 1.0
