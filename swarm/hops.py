"""How long a client's own steps wait at each server, from the times of its hops.

With PETALS as shipped the client makes every hop itself: what a hop took beyond the way there and
back and its own work is a sample of the line at that server. Plain Python, no hivemind.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: Samples of so many seconds make the mean; so long after the last one it is worth half at most.
MEAN_S, HALF_S = 4.0, 10.0
#: A mean that is worth less than this is none.
FADED = 0.05


class Steps:
    """Times the hops of one session, step by step.

    Only steps of one token count, and not the first step: a prompt is other work, and the first
    step opens the session as well. After a hop that failed the rest of the step is recovery.

    Parameters
    ----------
    on_hop : hears of each hop: the peer, and seconds since the hop before it or the step's start.
    on_step : hears of each step that went through.

    Attributes
    ----------
    prompt_tokens : of the first step; 0 before it.
    """

    def __init__(
        self,
        on_hop: Callable[[str, float], None],
        on_step: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._on_hop = on_hop
        self._on_step = on_step
        self._clock = clock
        self._since_s: float | None = None
        self.prompt_tokens = 0

    def timed(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The ``step`` of an inference session, its hops timed."""

        def stepping(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            tokens = int(inputs.shape[1])
            self._since_s = self._clock() if self.prompt_tokens and tokens == 1 else None
            self.prompt_tokens = self.prompt_tokens or tokens
            out = step(inputs, *args, **kwargs)
            self._on_step()
            return out

        return stepping

    def passed(self, peer: str) -> None:
        """A hop went through."""
        if self._since_s is not None:
            since_s, self._since_s = self._since_s, self._clock()
            self._on_hop(peer, self._since_s - since_s)

    def failed(self) -> None:
        """A hop failed."""
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

    def seen(self, now_s: float, steps: float) -> dict[str, tuple[Sample, float]]:
        """The mean at every server of which something is known, and what it is worth, 0 to 1.

        Parameters
        ----------
        steps : of a whole answer. Whoever was met there is half through with it on average, and
            steps as slowly as this client's sessions do there: so long it is worth half, if that
            is less than ``HALF_S``.
        """
        found = {}
        for peer, seen in self._sums.items():
            mean = Sample(*(t / seen.weight for t in seen.total))
            step_s = mean.alone_s + max(0.0, mean.wait_s)
            half_s = max(1e-3, min(HALF_S, steps / 2 * step_s))
            worth = 0.5 ** (max(0.0, now_s - seen.at_s) / half_s)
            if worth >= FADED:
                found[peer] = mean, worth
        return found
