"""The order-free bound against exhaustive search and against the mixed-integer programme."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.floor import cheapest_chains_s, lower_bound_s
from swarmplan.chains.knapsack import blocks_alone
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.latency import hop_cost, step_time_s
from swarmplan.tests.placement.offline import every_route

MakeProblem = Callable[..., Problem]


def demand_for(problem: Problem, sessions: int = 1) -> list[Demand]:
    return [
        Demand(client=c, sessions=sessions, weight_tokens=1.0, cache_bytes=problem.session_bytes)
        for c in range(len(problem.clients))
    ]


def cheapest_of_all(problem: Problem, client: int) -> float:
    """The least step time over all orders of servers and all shares of the blocks."""
    plan = problem.planning
    cost = hop_cost(problem, client, plan.prompt_tokens, plan.output_tokens)
    most = blocks_alone(problem, problem.session_bytes)
    steps = (step_time_s(problem, client, route, cost) for route in every_route(problem, most))
    return min(steps, default=np.inf)


@given(seed=st.integers(0, 10_000))
def test_under_client_relay_the_bound_is_the_cheapest_chain(
    make_problem: MakeProblem, seed: int
) -> None:
    problem = make_problem(np.random.default_rng(seed), servers=4, clients=2, length=5)
    each = cheapest_chains_s(CostModel.of(problem), demand_for(problem))
    expected = [cheapest_of_all(problem, c) for c in range(2)]
    assert each == pytest.approx(expected, rel=1e-9)
    assert (each <= expected).all()


@given(seed=st.integers(0, 10_000))
def test_under_server_relay_the_bound_is_not_above_the_cheapest_chain(
    make_problem: MakeProblem, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=4, clients=2, length=5, relay="server")
    each = cheapest_chains_s(CostModel.of(problem), demand_for(problem))
    for c in range(2):
        least = cheapest_of_all(problem, c)
        assert each[c] <= least
        assert np.isfinite(each[c]) == np.isfinite(least)


def test_the_bound_counts_sessions_and_weights(tiny: Problem) -> None:
    single = cheapest_chains_s(CostModel.of(tiny), demand_for(tiny))
    demand = [
        Demand(client=0, sessions=3, weight_tokens=2.0, cache_bytes=tiny.session_bytes),
        Demand(client=1, sessions=1, weight_tokens=5.0, cache_bytes=tiny.session_bytes),
    ]
    assert lower_bound_s(CostModel.of(tiny), demand) == pytest.approx(6 * single[0] + 5 * single[1])


def test_longer_sessions_never_lower_the_bound(tiny: Problem) -> None:
    def bound(cache: int) -> float:
        return lower_bound_s(
            CostModel.of(tiny), [Demand(client=0, sessions=1, weight_tokens=1.0, cache_bytes=cache)]
        )

    reached = [bound(cache) for cache in (1, 200, 1_000, 2_000, 10_000)]
    assert reached == sorted(reached)
    assert reached[-1] == np.inf
