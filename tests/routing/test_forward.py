"""Servers that cannot take tokens back: routers weigh drafted chains against all others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swarmplan.core.drafting import Drafting, DraftModel, Use
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand, Request
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.offline import best_routes
from swarmplan.routing.state import SwarmState
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.rehearsal import can_rehearse

REQUEST = Request(
    id=0, client=0, arrival_s=0.0, prompt_tokens=8, output_tokens=40, reserved_tokens=48
)


def stuck(tiny: Problem, alpha: float, drafts: int, *servers: int) -> tuple[CostModel, Placement]:
    """Every server holds everything, and some cannot take tokens back; the first is fastest."""
    own = Drafting(models=(DraftModel(acceptance=(alpha,), draft_s=0.001),), use=Use(drafts))
    each = tuple(replace(s, rollback=j not in servers) for j, s in enumerate(tiny.servers))
    cost = CostModel.of(replace(tiny, servers=each, drafting=(own, own)))
    spans = [(0, 6)] * len(each)
    return cost, cost.placed(spans, cache_bytes=[100_000] * len(each))


def time_s(cost: CostModel, server: int) -> float:
    route = Route(hops=(Hop(server=server, start=0, end=6),))
    return cost.route_time(route, cost.shape(0, 8, 40, route)).total_s


def test_costs_of_a_chain_are_those_of_its_own_passes(tiny: Problem) -> None:
    cost, _ = stuck(tiny, 0.8, 4, 0)
    plain = CostModel.of(tiny)
    assert time_s(cost, 0) == pytest.approx(time_s(plain, 0))
    assert time_s(cost, 1) < 0.6 * time_s(plain, 1)
    few = replace(cost.problem, drafting=(replace(cost.problem.drafting[0], use=Use(2)),) * 2)
    mixed = cost.problem.with_drafts([Use(4, 0, (((1,), 2),))] * 2)
    assert time_s(CostModel.of(mixed), 1) == pytest.approx(time_s(CostModel.of(few), 1))
    assert time_s(CostModel.of(mixed), 2) == pytest.approx(time_s(cost, 2))


@pytest.mark.parametrize("router", ["overlap", "ws-rr", "fastest-free", "shortest"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.95])
def test_the_chain_of_least_time_is_taken_drafted_or_not(
    tiny: Problem, router: str, alpha: float
) -> None:
    cost, placement = stuck(tiny, alpha, 4, 0)
    choose = router_named(router)(cost, placement)
    (hop,) = choose(REQUEST, SwarmState(cost, placement), 0.0).route.hops
    times = [time_s(cost, j) for j in range(4)]
    assert times[hop.server] == pytest.approx(min(times))
    routes, _ = best_routes(
        cost, placement, [Demand(client=0, sessions=1, weight_tokens=1.0, cache_tokens=48)]
    )
    steps = [cost.step_s(r, cost.planned(0, r)) for r in map(alone, range(4))]
    assert steps[routes[0].route.servers[0]] == pytest.approx(min(steps))


def alone(server: int) -> Route:
    return Route(hops=(Hop(server=server, start=0, end=6),))


@pytest.mark.slow
def test_where_no_chain_can_be_drafted_the_swarm_is_one_without_drafts(tiny: Problem) -> None:
    cost, placement = stuck(tiny, 0.8, 4, 0, 1, 2, 3)
    requests = [replace(REQUEST, id=i, arrival_s=0.1 * i, client=i % 2) for i in range(30)]
    found, plain = (
        simulate(c.problem, placement, router_named("overlap")(c, placement), requests)
        for c in (cost, CostModel.of(tiny))
    )
    np.testing.assert_array_equal(found.finish_s, plain.finish_s)
    assert not found.passes.any()
    assert not can_rehearse(cost, requests)


def test_a_client_that_does_not_draft_takes_what_it_took(tiny: Problem) -> None:
    cost, placement = stuck(tiny, 0.95, 4, 0)
    problem = cost.problem.with_drafts([Use(0), Use(4)])
    cost = CostModel.of(problem)
    choose = router_named("overlap")(cost, placement)
    assert choose(REQUEST, SwarmState(cost, placement), 0.0).route.servers == (0,)


def test_work_is_that_of_the_passes_that_take_the_least_anywhere(tiny: Problem) -> None:
    """So that what no plan exceeds holds for chains that are not drafted, too."""
    cost, _ = stuck(tiny, 0.1, 12, 0)
    dear = tuple(replace(s, verify=((2.0, 4.0),)) for s in cost.problem.servers)
    every = replace(cost.problem, servers=dear)
    one = replace(every, servers=tuple(replace(s, rollback=True) for s in dear))
    found, drafted, plain = (
        CostModel.of(p).work_s(8, 40)(0, 0, 6)
        for p in (every, one, one.with_drafts([Use(0), Use(0)]))
    )
    assert found == pytest.approx(plain)
    assert found < 0.5 * drafted
