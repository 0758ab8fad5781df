"""Requests and where they come from: arrival processes, length distributions, traces."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .content import ByContent, FloatArray, IntArray, frozen_array
from .names import LengthMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. ``output_tokens`` is the truth; policies see only what follows it.

    Attributes
    ----------
    client : row of the client.
    reserved_tokens : cache tokens to reserve, per block run.
    expected_tokens : output tokens to expect, for costs and finish times; None = what the
        reservation leaves beside the prompt.
    ladder_tokens : reservations to go on with, each time the output outgrows the last one,
        increasing; they end with what the client allows. Empty = all that it turns out to need.
    acceptance : of drafts for it, as ``DraftModel.acceptance``; empty = its client's.
    """

    id: int
    client: int
    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    reserved_tokens: int
    expected_tokens: int | None = None
    ladder_tokens: tuple[int, ...] = ()
    acceptance: tuple[float, ...] = ()

    @property
    def planned_tokens(self) -> int:
        """Output tokens that a policy reckons with, at least 1."""
        if self.expected_tokens is not None:
            return self.expected_tokens if self.expected_tokens > 1 else 1
        return max(1, self.reserved_tokens - self.prompt_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthUse:
    """What policies know of output lengths.

    Attributes
    ----------
    mode : ``oracle`` the true length; ``predictor`` its predicted distribution;
        ``model-constant`` the distribution over all requests; ``maximum`` only the limit.
    quantile : the quantile that is reserved in the two modes between.
    limit_tokens : output tokens that a client allows; None = the longest of its workload.
    """

    mode: LengthMode = "oracle"
    quantile: float = 0.95
    limit_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lengths(ByContent):
    """Token counts drawn uniformly from ``values`` (one value = constant).

    Attributes
    ----------
    predicted : (values, levels) quantiles of each that were predicted without knowing it, at the
        levels of ``perfmodel.length``; None where there is no prediction.
    """

    values: tuple[int, ...]
    predicted: NDArray[np.float64] | None = field(default=None, repr=False)

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
        return np.asarray(self.values, dtype=np.int64)[self.draw_rows(rng, size)]

    def draw_rows(self, rng: np.random.Generator, size: int) -> NDArray[np.int64]:
        """(size,) positions in ``values``; one value takes nothing from the generator."""
        many = len(self.values) > 1
        return rng.integers(len(self.values), size=size) if many else np.zeros(size, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestClass:
    """A stream of like requests from one client.

    Gaps are Gamma distributed with mean ``1 / rate_per_s`` and coefficient of variation
    ``gap_cv`` (1 = Poisson arrivals, 0 = a metronome). ``acceptance`` is that of drafts for them,
    where it is known for this kind of prompt; empty = the client's.
    """

    client: int
    rate_per_s: float
    prompt_tokens: Lengths
    output_tokens: Lengths
    gap_cv: float = 1.0
    acceptance: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workload(ByContent):
    """Either arrival ``classes`` (drawn by seed) or a fixed ``trace`` of requests.

    Attributes
    ----------
    trace_predicted : (trace, levels) predicted quantiles of the trace's output lengths, or None.
    lengths : what policies know of output lengths.
    """

    classes: tuple[RequestClass, ...] = ()
    trace: tuple[Request, ...] = ()
    num_requests: int = 1000
    trace_predicted: NDArray[np.float64] | None = field(default=None, repr=False)
    lengths: LengthUse = field(default_factory=LengthUse)

    @property
    def rate_per_s(self) -> float:
        """Mean arrival rate over all clients, 1/s."""
        if self.trace:
            span = self.trace[-1].arrival_s - self.trace[0].arrival_s
            return (len(self.trace) - 1) / span if span > 0 else 0.0
        return sum(c.rate_per_s for c in self.classes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mix(ByContent):
    """What a workload's requests are like; columns (N,).

    Attributes
    ----------
    client, prompt_tokens, output_tokens, reserved_tokens : as those of a ``Request``.
    share : of all requests, together 1.
    """

    client: IntArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    reserved_tokens: IntArray
    share: FloatArray

    def __post_init__(self) -> None:
        for name in ("client", "prompt_tokens", "output_tokens", "reserved_tokens"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.int64))
        object.__setattr__(self, "share", frozen_array(self.share, np.float64))

    @classmethod
    def of(cls, rows: IntArray, share: FloatArray) -> Mix:
        """Rows of client, prompt, output, reserved with their shares; like ones counted once."""
        distinct, which = np.unique(rows, axis=0, return_inverse=True)
        client, prompt, output, reserved = distinct.T
        return cls(
            client=client,
            prompt_tokens=prompt,
            output_tokens=output,
            reserved_tokens=reserved,
            share=np.bincount(which.reshape(-1), share) / share.sum(),
        )

    def of_client(self, client: int) -> Mix:
        """The requests of one client, with their shares of all."""
        own = self.client == client
        names = ("client", "prompt_tokens", "output_tokens", "reserved_tokens", "share")
        return Mix(**{name: getattr(self, name)[own] for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Like sessions of one client that are alive at the same time.

    Attributes
    ----------
    client : row of the client.
    sessions : how many of them, R_c >= 1.
    weight_tokens : output tokens by which one session's step time enters the objective; 1 makes
        the objective "seconds per output token, summed over the sessions".
    cache_tokens : tokens of attention cache that one session reserves.
    """

    client: int
    sessions: int
    weight_tokens: float
    cache_tokens: int
