"""How long a client's own steps wait at each server, from the times of its hops.

With PETALS as shipped the client makes every hop itself: what a hop took beyond the way there and
back and its own work is a sample of the line at that server. Plain Python, no hivemind.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

#: Samples of so many seconds make the mean; so long after the last one it is worth half.
MEAN_S, HALF_S = 4.0, 10.0
#: A mean that is worth less than this is none.
FADED = 0.05


class HopClock:
    """Times the hops of one session, step by step.

    Only steps of one token count, and not the first step: a prompt is other work, and the first
    step opens the session as well.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._opened = False
        self._since_s: float | None = None

    def begin(self, tokens: int) -> None:
        """A step of so many tokens begins."""
        counts = self._opened and tokens == 1
        self._opened = True
        self._since_s = self._clock() if counts else None

    def lap(self) -> float | None:
        """A hop went through: seconds since the one before it or the start of the step."""
        if self._since_s is None:
            return None
        since_s, self._since_s = self._since_s, self._clock()
        return self._since_s - since_s

    def spoil(self) -> None:
        """A hop failed: what is left of the step is recovery."""
        self._since_s = None


class Sample(NamedTuple):
    """One hop of one step, or the mean of several, seconds.

    Attributes
    ----------
    wait_s : what it took beyond the same hop alone; explained_s : of that what those who are known
        to be there explain.
    alone_s : the hop alone; work_s : of that the work of the server.
    """

    wait_s: float
    explained_s: float
    alone_s: float
    work_s: float


@dataclass(slots=True)
class _Sum:
    at_s: float
    weight: float = 0.0
    total: list[float] = field(default_factory=lambda: [0.0] * len(Sample._fields))


class HopWaits:
    """Exponential means of what was seen at servers, which fade when nothing new is seen."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}
        self._least_s: dict[Hashable, float] = {}

    def alone_s(self, hop: Hashable, took_s: float, said_s: float) -> float:
        """What a hop takes when nobody else is there: as said, or the least that was ever seen.

        Parameters
        ----------
        took_s : the time of the hop this time.
        """
        least_s = min(took_s, said_s, self._least_s.get(hop, math.inf))
        self._least_s[hop] = least_s
        return least_s

    def add(self, peer: str, sample: Sample, now_s: float) -> None:
        """A step went through a server."""
        seen = self._sums.setdefault(peer, _Sum(now_s))
        kept = math.exp(-max(0.0, now_s - seen.at_s) / MEAN_S)
        seen.weight = kept * seen.weight + 1.0
        seen.total = [kept * t + x for t, x in zip(seen.total, sample, strict=True)]
        seen.at_s = max(seen.at_s, now_s)

    def seen(self, now_s: float) -> dict[str, tuple[Sample, float]]:
        """The mean at every server of which something is known, and what it is worth, 0 to 1."""
        found = {}
        for peer, seen in self._sums.items():
            worth = 0.5 ** (max(0.0, now_s - seen.at_s) / HALF_S)
            if worth >= FADED:
                found[peer] = Sample(*(t / seen.weight for t in seen.total)), worth
        return found
