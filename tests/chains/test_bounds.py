"""Bounds on the mean response time: golden values, the exact Markov chain, limits."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.bounds import response_bounds


def exact_mean_response(rates: list[float], capacities: list[int], arrival_rate: float) -> float:
    """Mean response of JFFC from its Markov chain, an independent check of the bounds.

    States with a free slot are the vectors (Z_1..Z_K); with all slots busy the queue grows
    geometrically with ratio rho, so those states are summed in closed form.
    """
    total, nu = sum(capacities), float(np.dot(rates, capacities))
    states = list(itertools.product(*(range(c + 1) for c in capacities)))
    index = {z: i for i, z in enumerate(states)}
    order = sorted(range(len(rates)), key=lambda k: -rates[k])
    flow = np.zeros((len(states), len(states)))  # flow[i, j] = rate from i to j
    full = index[tuple(capacities)]
    for z, i in index.items():
        free = [k for k in order if z[k] < capacities[k]]
        if free:
            up = tuple(v + (k == free[0]) for k, v in enumerate(z))
            flow[i, index[up]] += arrival_rate
        for k, busy in enumerate(z):
            if busy:
                down = tuple(v - (q == k) for q, v in enumerate(z))
                flow[i, index[down]] += busy * rates[k]
    balance = (flow - np.diag(flow.sum(axis=1))).T
    balance[-1] = 1.0
    p = np.linalg.solve(balance, np.eye(len(states))[-1])
    rho = arrival_rate / nu
    mass = p.sum() + p[full] * rho / (1 - rho)
    jobs = float(np.dot(p, [sum(z) for z in states]))
    jobs += p[full] * (total * rho / (1 - rho) + rho / (1 - rho) ** 2)
    return float(jobs / mass / arrival_rate)


def test_the_bounds_equal_the_golden_values(shared_data: Path) -> None:
    cases = json.loads((shared_data / "golden" / "chains.json").read_text())["theorem4"]["cases"]
    assert len(cases) == 4
    for case in cases:
        rates, capacities = case["service_rate"], case["capacity"]
        lower, upper = response_bounds(rates, capacities, case["arrival_rate"])
        assert lower == pytest.approx(case["mean_response_lower"], rel=1e-9)
        assert upper == pytest.approx(case["mean_response_upper"], rel=1e-9)
        exact = exact_mean_response(rates, capacities, case["arrival_rate"])
        assert exact == pytest.approx(case["mean_response_exact"], rel=1e-9)


@given(
    system=st.lists(st.tuples(st.floats(0.05, 5.0), st.integers(1, 3)), min_size=1, max_size=3),
    load=st.floats(0.02, 0.97),
)
def test_the_bounds_enclose_the_exact_mean_response(
    system: list[tuple[float, int]], load: float
) -> None:
    rates, capacities = [r for r, _ in system], [c for _, c in system]
    arrival = load * float(np.dot(rates, capacities))
    lower, upper = response_bounds(rates, capacities, arrival)
    exact = exact_mean_response(rates, capacities, arrival)
    assert lower <= exact * (1 + 1e-9)
    assert exact <= upper * (1 + 1e-9)


def test_equal_chains_make_the_bounds_the_erlang_c_formula() -> None:
    lower, upper = response_bounds([0.5, 0.5], [1, 2], 1.2)
    # M/M/3 with offered load 2.4: waiting probability 0.6471..., by the Erlang C formula.
    terms = [2.4**n / f for n, f in ((0, 1), (1, 1), (2, 2))]
    wait = 2.4**3 / 6 / (1 - 0.8)
    probability = wait / (sum(terms) + wait)
    assert lower == upper == pytest.approx(2.0 + probability / (1.5 - 1.2), rel=1e-12)


def test_the_bounds_survive_thousands_of_slots() -> None:
    lower, upper = response_bounds([1.0, 0.25], [3_000, 4_000], 3_500.0)
    assert 1.0 <= lower <= upper < 5.0


@pytest.mark.parametrize("arrival", [3.5, 4.0])
def test_a_load_at_or_above_the_capacity_has_no_finite_response(arrival: float) -> None:
    assert response_bounds([1.0, 0.5], [2, 3], arrival) == (np.inf, np.inf)
    assert response_bounds([], [], arrival) == (np.inf, np.inf)


def test_without_load_the_bounds_are_the_fastest_and_the_slowest_chain() -> None:
    assert response_bounds([0.5, 1.0], [1, 1], 0.0) == (1.0, 2.0)


def test_meaningless_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        response_bounds([0.0], [1], 0.1)
    with pytest.raises(ValueError, match="must be positive"):
        response_bounds([1.0], [1], -0.1)
