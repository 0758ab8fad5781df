"""Chain composition: the choice of the capacity, and of placements beside GBP-CR."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.chains.soundness import misplaced, misrouted, overfull
from swarmplan.core.errors import HeuristicFailedError, InfeasibleError
from swarmplan.core.plan import PlannedRoute
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.composed import chain_plan, chain_plans, composed
from swarmplan.placement.rules.gbp_cr import gbp_cr, max_capacity
from swarmplan.placement.sessions import task_of
from swarmplan.tests.placement.offline import jobs, uneven


def mixed(rate_per_s: float, cache: float = 0.1) -> Problem:
    """Two large and five small servers for six blocks."""
    return jobs(
        blocks=6,
        memory=[9.0, 8.0, 4.0, 4.0, 3.5, 3.0, 2.5],
        comm_s=[0.5, 2.0, 0.4, 0.6, 0.3, 0.8, 0.2],
        block_s=[0.2, 0.1, 0.4, 0.3, 0.5, 0.4, 0.6],
        cache=cache,
        rate_per_s=rate_per_s,
    )


@pytest.mark.parametrize("rate", [0.1, 1.0, 3.0, 6.0])
def test_the_best_plan_is_no_worse_than_any_candidate(rate: float) -> None:
    task = task_of(mixed(rate))
    cost, plans = task.cost, chain_plans(task)
    for c in range(1, max_capacity(cost) + 1):
        for load in (0.7, None):
            other = chain_plan(cost, gbp_cr(cost, c, load=load), "other")
            assert plans[0].lower_s <= other.lower_s
    assert all(p.lower_s <= p.upper_s * (1 + 1e-12) for p in plans)
    assert all(p.chains and p.rate_per_s > 0 for p in plans)
    names = {p.name.split(" ")[0] for p in plans}
    assert {"whole-model", "gbp-cr"} <= names
    assert composed(task).start.tolist() == plans[0].placement.start.tolist()


def test_more_load_reserves_more_cache() -> None:
    light, heavy = (chain_plans(task_of(mixed(rate)))[0] for rate in (0.05, 9.0))
    assert light.lower_s < heavy.lower_s
    assert light.rate_per_s < heavy.rate_per_s


def test_beyond_all_capacity_the_plan_that_sustains_most_comes_first() -> None:
    plans = chain_plans(task_of(mixed(1e4)))
    assert math.isinf(plans[0].lower_s)
    assert plans[0].rate_per_s == max(p.rate_per_s for p in plans)


def test_many_values_of_c_are_searched_on_a_grid_that_keeps_the_ends() -> None:
    task = task_of(mixed(1.0, cache=0.005))
    cost = task.cost
    assert max_capacity(cost) > 100
    plans = chain_plans(task)
    best = min(
        chain_plan(cost, gbp_cr(cost, c, load=None), "").lower_s
        for c in range(1, max_capacity(cost) + 1)
    )
    assert plans[0].lower_s <= best * 1.02


def test_too_little_memory_in_all_is_proven_infeasible() -> None:
    problem = jobs(blocks=6, memory=[2.5, 3.5], comm_s=[1.0] * 2, block_s=[1.0] * 2)
    assert max_capacity(CostModel.of(problem)) == 0
    with pytest.raises(InfeasibleError, match="can host 5 of the 6 blocks"):
        chain_plans(task_of(problem, sessions=1))


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_where_blocks_differ_every_plan_holds_the_sessions_of_its_chains(
    make_problem: Callable[..., Problem], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    task = task_of(uneven(make_problem(rng, servers=6, clients=2, length=6), rng), sessions=1)
    try:
        plans = chain_plans(task)
    except (HeuristicFailedError, InfeasibleError):
        return
    for plan in plans:
        routes = [PlannedRoute(client=0, sessions=c.capacity, route=c.route) for c in plan.chains]
        assert not [
            *misplaced(task.cost, plan.placement),
            *misrouted(task.cost, plan.placement, routes),
            *overfull(task.cost, plan.placement, routes),
        ]
        assert plan.lower_s <= plan.upper_s * (1 + 1e-12)
