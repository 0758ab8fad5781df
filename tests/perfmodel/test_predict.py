"""Predicted figures are those of the routes, averaged over the sessions."""

from __future__ import annotations

import dataclasses

import pytest

from swarmplan.core.objective import STEP, WEIGHTED_STEP
from swarmplan.core.plan import Hop, PlannedRoute, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.predict import predict, step_goal, step_objective_s

FAST = Route(hops=(Hop(server=0, start=0, end=6),))
SLOW = Route(hops=(Hop(server=1, start=0, end=3), Hop(server=2, start=3, end=6)))


def test_figures_are_averaged_over_sessions_with_the_set_up(tiny: Problem) -> None:
    problem = dataclasses.replace(tiny, session_setup_s=0.5, alloc_delay_s=0.25)
    routes = (
        PlannedRoute(client=1, sessions=3, route=FAST),
        PlannedRoute(client=1, sessions=1, route=SLOW),
    )
    cost = CostModel.of(problem)
    (found,) = predict(cost, routes)
    fast, slow = (cost.route_time(r, cost.shape(1, 11, 11)) for r in (FAST, SLOW))
    assert found.client == 1
    assert found.tpot_s == pytest.approx((3 * fast.tpot_s + slow.tpot_s) / 4)
    assert found.ttft_s == pytest.approx((3 * fast.ttft_s + slow.ttft_s) / 4 + 0.75)
    assert found.response_s == pytest.approx((3 * fast.total_s + slow.total_s) / 4 + 0.75)


def test_every_client_with_a_route_has_its_own_figures(tiny: Problem) -> None:
    routes = tuple(PlannedRoute(client=c, sessions=1, route=FAST) for c in (1, 0))
    found = predict(CostModel.of(tiny), routes)
    assert [p.client for p in found] == [0, 1]
    assert found[1].tpot_s - found[0].tpot_s == pytest.approx(0.120 - 0.020)


def test_the_objective_adds_up_one_step_of_every_session(tiny: Problem) -> None:
    routes = (
        PlannedRoute(client=0, sessions=2, route=FAST),
        PlannedRoute(client=1, sessions=1, route=SLOW),
    )
    # RTT + 1 ms overhead + 2 ms or 10 ms for each block.
    fast, slow = 0.020 + 0.001 + 6 * 0.002, 0.150 + 0.140 + 2 * 0.001 + 6 * 0.010
    cost = CostModel.of(tiny)
    assert step_objective_s(cost, routes) == pytest.approx(2 * fast + slow)
    assert step_objective_s(cost, ()) == 0.0


def test_weights_of_tokens_change_the_objective_and_its_name(tiny: Problem) -> None:
    routes = tuple(PlannedRoute(client=c, sessions=1, route=FAST) for c in range(2))
    plain = tuple(
        Demand(client=c, sessions=1, weight_tokens=1.0, cache_tokens=22) for c in range(2)
    )
    heavy = (plain[0], dataclasses.replace(plain[1], weight_tokens=3.0))
    # RTT + 1 ms overhead + 2 ms for each block.
    near, far = 0.020 + 0.001 + 6 * 0.002, 0.120 + 0.001 + 6 * 0.002
    cost = CostModel.of(tiny)
    assert step_objective_s(cost, routes, plain) == pytest.approx(near + far)
    assert step_objective_s(cost, routes, heavy) == pytest.approx(near + 3 * far)
    assert (step_goal(plain), step_goal(heavy)) == (STEP, WEIGHTED_STEP)
