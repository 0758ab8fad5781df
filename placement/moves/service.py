"""What a load costs on a placement, or on a sequence of them: request-seconds.

By Little's law the mean number of requests in the swarm is load times mean response, so the
integral of that number over time prices waiting and service alike, also while servers load. The
stationary figure is that of chain composition (``response_bounds``); what a placement cannot
sustain queues up as a fluid. docs/replan.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ...chains.bounds import response_bounds
from ...chains.compose import Chain, bearable_per_s, gca, total_service_rate
from ...core.content import FloatArray
from ...core.plan import Placement
from ...perfmodel.cost import CostModel

#: Stationary figures are taken at most at this load: beyond, a queue takes longer to build up
#: than any phase of a migration lasts.
STATIONARY_LOAD = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The chains of one placement.

    Attributes
    ----------
    chains : fastest first, with the sessions that each holds.
    rate_per_s : highest load they sustain, in caches and in compute; 0 when some block is dark.
    """

    chains: tuple[Chain, ...]
    rate_per_s: float

    def requests(self, load_per_s: float) -> float:
        """Mean number of requests in service or waiting, backlog of overload aside."""
        served = min(load_per_s, STATIONARY_LOAD * self.rate_per_s)
        if served <= 0:
            return 0.0
        lower, _ = response_bounds(
            [1.0 / c.service_time_s for c in self.chains],
            [c.capacity for c in self.chains],
            served,
        )
        return served * lower

    def sessions_at(self, load_per_s: float, num_servers: int) -> FloatArray:
        """(n,) sessions that run through each server, the fastest chains filled first."""
        found = np.zeros(num_servers)
        left = self.requests(load_per_s)
        for chain in self.chains:
            here = min(left, float(chain.capacity))
            if here <= 0:
                break
            found[list(chain.route.servers)] += here
            left -= here
        return found

    @property
    def mean_service_s(self) -> float:
        """Service time of a request, all chains busy."""
        if not self.rate_per_s:
            return 0.0
        return sum(c.capacity for c in self.chains) / total_service_rate(self.chains)


#: Placement -> how it serves; see ``remembering``.
Evaluate = Callable[[Placement], Service]


def remembering(cost: CostModel) -> Evaluate:
    """``Service`` of placements of one problem, each computed once."""
    known: dict[bytes, Service] = {}

    def evaluate(placement: Placement) -> Service:
        key = b"".join(a.tobytes() for a in (placement.start, placement.end, placement.cache_bytes))
        if key not in known:
            chains: tuple[Chain, ...] = ()
            if placement.coverage(cost.num_blocks).all():
                chains = gca(cost, placement)
            known[key] = Service(chains=chains, rate_per_s=bearable_per_s(cost, chains))
        return known[key]

    return evaluate


#: (seconds, how requests are served meanwhile, requests that arrive per second)
Stage = tuple[float, Service, float]


def request_seconds(stages: Iterable[Stage], *, backlog: float = 0.0) -> tuple[float, float]:
    """Integral of the number of requests over stages that follow one another.

    Returns
    -------
    (request-seconds, backlog at the end in requests).

    Notes
    -----
    The backlog b grows by ``load - rate`` per second and never falls below 0; its integral over a
    stage is that of a straight line, cut off where it reaches 0.
    """
    total = 0.0
    for seconds, service, load_per_s in stages:
        total += seconds * service.requests(load_per_s)
        slope = load_per_s - service.rate_per_s
        if slope < 0:
            emptied_s = min(seconds, backlog / -slope)
            total += emptied_s * (backlog + 0.5 * slope * emptied_s)
            backlog = max(0.0, backlog + slope * seconds)
        else:
            total += seconds * (backlog + 0.5 * slope * seconds)
            backlog += slope * seconds
    return total, backlog


def draining_s(backlog: float, service: Service) -> float:
    """Request-seconds until a backlog is gone when nothing else arrives; infinite if never."""
    if backlog <= 0:
        return 0.0
    return 0.5 * backlog**2 / service.rate_per_s if service.rate_per_s else float("inf")
