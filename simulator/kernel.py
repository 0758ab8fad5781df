"""The event kernel: a clock and a heap of things to do.

It knows nothing of servers or requests. At one instant events run in the order of their rank,
then in the order in which they were scheduled, so that a run is a function of its inputs alone.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from enum import IntEnum
from typing import Any


class Rank(IntEnum):
    """Order of events at one instant: what frees cache comes before what takes it."""

    SERVER = 0
    NOTICE = 1
    START = 2
    RETRY = 3
    ARRIVAL = 4
    TICK = 5


class Kernel:
    """A clock that moves from event to event.

    Attributes
    ----------
    now_s : the present instant, seconds.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._heap: list[tuple[float, int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._scheduled = 0

    def at(self, time_s: float, rank: Rank, action: Callable[..., None], *args: Any) -> None:
        """Call ``action(*args)`` at an instant; one in the past is called at once."""
        self._scheduled += 1
        when = max(time_s, self.now_s)
        heapq.heappush(self._heap, (when, rank, self._scheduled, action, args))

    @property
    def next_s(self) -> float:
        """Instant of the next event; inf when there is none."""
        return self._heap[0][0] if self._heap else math.inf

    def step(self) -> None:
        """Run the next event."""
        self.now_s, _, _, action, args = heapq.heappop(self._heap)
        action(*args)
