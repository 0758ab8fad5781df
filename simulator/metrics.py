"""Figures of a run, and means with confidence intervals over several runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.coded import where
from ..core.objective import P95_RESPONSE, Goal
from ..core.requests import by_arrival
from ..perfmodel.expense import Expense
from .distribution import Distribution, picked
from .result import SimulationResult
from .service import Service, Yardstick, service_of

#: Share of the first arrivals that is not counted: the empty start of a swarm flatters figures.
WARM_UP = 0.1

#: Two-sided 95 % quantiles of Student's t for 1 ... 30 degrees of freedom.
T_95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One run in figures; times in seconds.

    Attributes
    ----------
    per_token_s : the published blended figure, response time per output token: it mixes waiting,
        prompt and decoding, so read the others first.
    tokens_per_s : output tokens over the time from the first arrival to the last finish.
    kwh_per_million_tokens, money_per_million_tokens : of the whole run, warm-up included, for its
        output tokens; None where watts or prices are not known of all servers with blocks.
    egress_per_million_tokens : the price of what left uplinks, likewise; None where none has one.
    """

    requests: int
    completed: int
    rejected: int
    lost: int
    response_s: Distribution
    ttft_s: Distribution
    tpot_s: Distribution
    wait_s: Distribution
    per_token_s: float
    tokens_per_s: float
    requests_per_s: float
    mean_hops: float
    retries: int
    replays: int
    overflows: int
    cache_used_frac: float
    peak_memory_frac: float
    service: Service = field(default_factory=Service)
    kwh_per_million_tokens: float | None = None
    money_per_million_tokens: float | None = None
    egress_per_million_tokens: float | None = None

    @property
    def completed_share(self) -> float:
        """Share of the requests that were completed."""
        return self.completed / self.requests

    def response_of(self, goal: Goal) -> float:
        """The response time that a goal looks at, seconds."""
        return self.response_s.p95 if goal == P95_RESPONSE else self.response_s.mean


def summarise(
    result: SimulationResult, *, warm_up: float = 0.0, by: Yardstick | None = None
) -> Summary:
    """Figures of a run.

    Parameters
    ----------
    warm_up : share of the first arrivals that is left out, so that the empty start of the swarm
        does not flatter the figures.
    by : what service is measured by.
    """
    count = len(result.arrival_s)
    counted = np.ones(count, dtype=bool)
    counted[np.asarray(by_arrival(result.arrival_s)[: int(count * warm_up)], np.int64)] = False
    done = counted & result.done
    tokens = int(result.output_tokens[done].sum())
    span = float(result.finish_s[done].max() - result.arrival_s[done].min()) if done.any() else 0.0
    hops = picked(result.num_hops, done)
    chains = int(np.count_nonzero(hops))
    taken = Expense(energy_j=result.energy_j, money=result.money)
    energy_kwh, money = taken.per_million(result.tokens)
    egress = Expense(energy_j=None, money=result.egress_money).per_million(result.tokens)[1]
    response_s = picked(result.response_s, done)
    per_token_s = float(response_s.sum() / tokens) if tokens else math.nan
    responses = Distribution.of(response_s, spent=True)
    del response_s  # of a million requests, one column at a time
    return Summary(
        requests=int(counted.sum()),
        completed=int(done.sum()),
        rejected=int((counted & where(result.status, "rejected")).sum()),
        lost=int((counted & where(result.status, "unfinished")).sum()),
        response_s=responses,
        ttft_s=Distribution.of(picked(result.ttft_s, done), spent=True),
        tpot_s=Distribution.of(picked(result.tpot_s, done), spent=True),
        wait_s=Distribution.of(picked(result.wait_s, done), spent=True),
        per_token_s=per_token_s,
        tokens_per_s=tokens / span if span else math.nan,
        requests_per_s=int(done.sum()) / span if span else math.nan,
        mean_hops=int(hops.sum()) / chains if chains else math.nan,
        retries=int(result.tries[counted].sum()),
        replays=int(result.replays[counted].sum()),
        overflows=int(result.overflows[counted].sum()),
        cache_used_frac=float(result.cache_used_frac.mean()),
        peak_memory_frac=float(result.peak_memory_frac.max()),
        service=service_of(result, done, by or Yardstick()),
        kwh_per_million_tokens=energy_kwh,
        money_per_million_tokens=money,
        egress_per_million_tokens=egress,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Mean over runs and the half-width of its 95 % confidence interval (nan for one run)."""

    mean: float
    half_width: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Student's t over independent runs; runs without a figure are left out."""
        known = [v for v in values if not math.isnan(v)]
        n = len(known)
        if not n:
            return cls(mean=math.nan, half_width=math.nan)
        mean = float(np.mean(known))
        if n == 1:
            return cls(mean=mean, half_width=math.nan)
        t = T_95[n - 2] if n - 2 < len(T_95) else 1.96
        return cls(mean=mean, half_width=t * float(np.std(known, ddof=1)) / math.sqrt(n))
