"""Bounds on the mean response of "join the fastest free chain" (JFFC), in closed form.

After arXiv 2604.14993, Theorem 4; docs/model.md section 10.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..core.content import FloatArray


def response_bounds(
    rates: ArrayLike, capacities: ArrayLike, arrival_rate: float
) -> tuple[float, float]:
    """Bounds on the mean response time of JFFC (arXiv 2604.14993, Theorem 4).

    Poisson arrivals and exponential service are assumed. The bounds come from two birth-death
    chains: jobs always on the fastest chains (lower), always on the slowest (upper).

    Parameters
    ----------
    rates : (K,) service rate of one session on each chain, 1/s.
    capacities : (K,) concurrent sessions of each chain.
    arrival_rate : requests per second, >= 0.

    Returns
    -------
    (lower_s, upper_s), both infinite when the load reaches the capacity.

    Raises
    ------
    ValueError
        If a rate is not positive or the arrival rate is negative.
    """
    speed = np.asarray(rates, dtype=np.float64)
    count = np.asarray(capacities, dtype=np.int64)
    if (speed <= 0).any() or (count < 0).any() or arrival_rate < 0:
        raise ValueError("service rates must be positive, capacities and the load not negative")
    slow_first = np.repeat(np.sort(speed), count[np.argsort(speed, kind="stable")])
    if not len(slow_first) or arrival_rate >= slow_first.sum():
        return (np.inf, np.inf)
    if arrival_rate == 0:
        return (float(1.0 / slow_first[-1]), float(1.0 / slow_first[0]))
    return (
        _mean_response_s(slow_first[::-1], arrival_rate),
        _mean_response_s(slow_first, arrival_rate),
    )


def _mean_response_s(slot_rates: FloatArray, arrival_rate: float) -> float:
    """Mean response of the birth-death chain whose n-th job adds ``slot_rates[n - 1]``.

    State probabilities are kept as logarithms: with hundreds of slots their products overflow.
    """
    slots = len(slot_rates)
    deaths = np.cumsum(slot_rates)
    load = arrival_rate / deaths[-1]
    log_phi = np.concatenate(([0.0], np.cumsum(np.log(arrival_rate) - np.log(deaths))))
    phi = np.exp(log_phi - log_phi.max())
    total = phi[:slots].sum() + phi[slots] / (1.0 - load)
    jobs = np.arange(slots) @ phi[:slots]
    jobs += phi[slots] * (load / (1.0 - load) ** 2 + slots / (1.0 - load))
    return float(jobs / total / arrival_rate)
