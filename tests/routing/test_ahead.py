"""R sessions decided together: they fit, none is forgotten, and they are done sooner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.core.errors import NoRouteError, RequestTooLargeError
from swarmplan.core.plan import Placement, PlannedRoute, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand, Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.ahead import routes_together
from swarmplan.routing.offline import best_routes
from swarmplan.simulator.engine import simulate
from swarmplan.tests.routing.test_queueing import Given


def demand(problem: Problem, *sessions: int) -> list[Demand]:
    """So many sessions of each client."""
    tokens = problem.planning.session_tokens
    return [
        Demand(client=c, sessions=count, weight_tokens=1.0, cache_tokens=tokens)
        for c, count in enumerate(sessions)
        if count
    ]


def whole(problem: Problem, pool: int = 10**6) -> tuple[CostModel, Placement]:
    """All blocks on the fast server, and on a chain of two slow ones."""
    cost = CostModel.of(problem)
    return cost, cost.placed([(0, 6), (0, 3), (3, 6), (0, 0)], cache_bytes=[pool, pool, pool, 0])


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(here=st.integers(0, 20), there=st.integers(0, 20), pool=st.integers(1, 40))
def test_sessions_fit_together_and_none_is_forgotten(
    tiny: Problem, here: int, there: int, pool: int
) -> None:
    one = int(CostModel.of(tiny).session_bytes(0, 6))
    cost, placement = whole(tiny, pool * one // 2)
    try:
        routes, unrouted = routes_together(cost, placement, demand(tiny, here, there))
    except RequestTooLargeError:
        assert pool < 2
        return
    held = np.zeros(4, dtype=np.int64)
    for planned in routes:
        for hop in planned.route.hops:
            held[hop.server] += planned.sessions * int(cost.session_bytes(hop.start, hop.end))
    assert (held <= placement.cache_bytes).all()
    for client, count in enumerate((here, there)):
        found = sum(r.sessions for r in routes if r.client == client)
        assert found + unrouted.get(client, 0) == count


def mean_response_s(
    problem: Problem, placement: Placement, routes: Sequence[PlannedRoute]
) -> float:
    """All planned sessions at once, each on its chain."""
    plan = problem.planning
    taken: list[Route] = []
    requests: list[Request] = []
    for planned in routes:
        for _ in range(planned.sessions):
            number = len(requests)
            taken.append(planned.route)
            requests.append(
                Request(
                    id=number,
                    client=planned.client,
                    arrival_s=0.0,
                    prompt_tokens=plan.prompt_tokens,
                    output_tokens=plan.output_tokens,
                    reserved_tokens=plan.session_tokens,
                )
            )
    return float(simulate(problem, placement, Given(taken), requests).response_s.mean())


def test_together_they_are_done_sooner_than_each_on_its_fastest_chain(tiny: Problem) -> None:
    planning = replace(tiny.planning, output_tokens=200, session_tokens=211)
    problem = replace(tiny, planning=planning)
    cost, placement = whole(problem)
    wanted = demand(problem, 40, 10)
    alone, _ = best_routes(cost, placement, wanted)
    together, unrouted = routes_together(cost, placement, wanted)
    assert not unrouted
    assert {len(r.route.hops) for r in together} == {1, 2}
    assert {len(r.route.hops) for r in alone} == {1}
    took = [mean_response_s(problem, placement, routes) for routes in (alone, together)]
    assert took[1] < 0.9 * took[0]


def test_why_there_is_no_chain_is_said_as_everywhere(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 1), (3, 4), (0, 0), (0, 0)])
    with pytest.raises(NoRouteError, match=r"no server hosts blocks 1:3, 4:6"):
        routes_together(cost, placement, demand(tiny, 1))


def test_a_single_session_takes_its_fastest_chain(tiny: Problem) -> None:
    cost, placement = whole(tiny)
    routes, _ = routes_together(cost, placement, demand(tiny, 1))
    (alone,), _ = best_routes(cost, placement, demand(tiny, 1))
    assert isinstance(routes[0].route, Route)
    assert routes == (alone,)
