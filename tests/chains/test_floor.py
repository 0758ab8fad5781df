"""The order-free bound against exhaustive search over all chains."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.floor import cheapest_chains_s, lower_bound_s, require_chains
from swarmplan.core.errors import InfeasibleError
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.memory import heavy_blocks
from swarmplan.tests.placement.offline import every_route, fits_alone, lopsided, uneven

MakeProblem = Callable[..., Problem]


def demand_for(problem: Problem, sessions: int = 1) -> list[Demand]:
    tokens = problem.planning.session_tokens
    return [
        Demand(client=c, sessions=sessions, weight_tokens=1.0, cache_tokens=tokens)
        for c in range(len(problem.clients))
    ]


def cheapest_of_all(problem: Problem, client: int) -> float:
    """The least step time over all orders of servers and all shares of the blocks."""
    cost, tokens = CostModel.of(problem), problem.planning.session_tokens
    shape = cost.planned(client)
    steps = (
        cost.step_s(route, shape)
        for route in every_route(problem)
        if fits_alone(cost, route, tokens)
    )
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


@given(seed=st.integers(0, 10_000), relay=st.sampled_from(["client", "server"]))
def test_where_blocks_differ_the_bound_is_not_above_the_cheapest_chain(
    make_problem: MakeProblem, seed: int, relay: str
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng, servers=4, clients=2, length=5, relay=relay), rng)
    each = cheapest_chains_s(CostModel.of(problem), demand_for(problem))
    assert (each <= [cheapest_of_all(problem, c) for c in range(2)]).all()


@given(seed=st.integers(0, 10_000), relay=st.sampled_from(["client", "server"]))
def test_where_some_blocks_weigh_little_the_bound_is_not_above_the_cheapest_chain(
    make_problem: MakeProblem, seed: int, relay: str
) -> None:
    rng = np.random.default_rng(seed)
    problem = lopsided(make_problem(rng, servers=4, clients=2, length=5, relay=relay), rng)
    assert heavy_blocks(CostModel.of(problem)) is not None
    each = cheapest_chains_s(CostModel.of(problem), demand_for(problem))
    assert (each <= [cheapest_of_all(problem, c) for c in range(2)]).all()


def test_a_light_block_that_every_server_could_take_along_loosens_no_bound(tiny: Problem) -> None:
    """Five blocks of 1 kB after one of next to nothing: by the lightest run of so many blocks each
    server could run one more than it can."""
    sizes = (1,) + (1_000,) * 5
    servers = tuple(replace(s, block_bytes=sizes) for s in tiny.servers)
    problem = replace(tiny, servers=servers)
    each = cheapest_chains_s(CostModel.of(problem), demand_for(problem))
    # Memory of 6, 4, 4 and 3 kB: 4 of the heavy blocks at the fast server, one at another.
    hops = [0.020 + 0.010 + 2 * 0.001, 0.120 + 0.110 + 2 * 0.001]
    assert each == pytest.approx([h + 5 * 0.002 + 0.010 for h in hops], rel=1e-9)


def test_the_bound_counts_sessions_and_weights(tiny: Problem) -> None:
    single = cheapest_chains_s(CostModel.of(tiny), demand_for(tiny))
    tokens = tiny.planning.session_tokens
    demand = [
        Demand(client=0, sessions=3, weight_tokens=2.0, cache_tokens=tokens),
        Demand(client=1, sessions=1, weight_tokens=5.0, cache_tokens=tokens),
    ]
    assert lower_bound_s(CostModel.of(tiny), demand) == pytest.approx(6 * single[0] + 5 * single[1])


def test_longer_sessions_never_lower_the_bound(tiny: Problem) -> None:
    def bound(tokens: int) -> float:
        one = Demand(client=0, sessions=1, weight_tokens=1.0, cache_tokens=tokens)
        return lower_bound_s(CostModel.of(tiny), [one])

    reached = [bound(tokens) for tokens in (1, 20, 100, 200, 1_000)]
    assert reached == sorted(reached)
    assert reached[-1] == np.inf


def test_a_client_without_any_chain_is_named(tiny: Problem) -> None:
    demand = [Demand(client=1, sessions=1, weight_tokens=1.0, cache_tokens=1_000)]
    alone = cheapest_chains_s(CostModel.of(tiny), demand)
    with pytest.raises(InfeasibleError, match="not one session of client 'far' fits"):
        require_chains(CostModel.of(tiny), demand, alone)
