"""Requests and where they come from: arrival processes, length distributions, traces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. ``output_tokens`` is the truth; policies see only ``reserved_tokens``.

    Attributes
    ----------
    client : row of the client.
    reserved_tokens : cache tokens to reserve (prompt + expected output), per block run.
    """

    id: int
    client: int
    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    reserved_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Token counts drawn uniformly from ``values`` (one value = constant)."""

    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.values or min(self.values) < 1:
            raise ValueError("lengths need at least one value, all >= 1")

    @property
    def mean(self) -> float:
        """Mean length, tokens."""
        return float(np.mean(self.values))

    def quantile(self, q: float) -> int:
        """Smallest value not exceeded with probability ``q``, tokens."""
        return int(np.quantile(self.values, q, method="inverted_cdf"))

    def draw(self, rng: np.random.Generator, size: int) -> NDArray[np.int64]:
        """(size,) token counts."""
        pool = np.asarray(self.values, dtype=np.int64)
        return pool[rng.integers(len(pool), size=size)] if len(pool) > 1 else np.repeat(pool, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestClass:
    """A stream of like requests from one client.

    Gaps are Gamma distributed with mean ``1 / rate_per_s`` and coefficient of variation
    ``gap_cv`` (1 = Poisson arrivals, 0 = a metronome).
    """

    client: int
    rate_per_s: float
    prompt_tokens: Lengths
    output_tokens: Lengths
    gap_cv: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Either arrival ``classes`` (drawn by seed) or a fixed ``trace`` of requests."""

    classes: tuple[RequestClass, ...] = ()
    trace: tuple[Request, ...] = ()
    num_requests: int = 1000

    @property
    def rate_per_s(self) -> float:
        """Mean arrival rate over all clients, 1/s."""
        if self.trace:
            span = self.trace[-1].arrival_s - self.trace[0].arrival_s
            return (len(self.trace) - 1) / span if span > 0 else 0.0
        return sum(c.rate_per_s for c in self.classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Like sessions of one client that are alive at the same time.

    Attributes
    ----------
    client : row of the client.
    sessions : how many of them, R_c >= 1.
    weight_tokens : output tokens by which one session's step time enters the objective; 1 makes
        the objective "seconds per output token, summed over the sessions".
    cache_bytes : cache that one session holds on each block it runs, s_c.
    """

    client: int
    sessions: int
    weight_tokens: float
    cache_bytes: int
