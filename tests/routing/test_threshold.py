"""LeastResponse against every chain there is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.core.errors import NoRouteError, RequestTooLargeError
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.state import SwarmState
from swarmplan.routing.threshold import LeastResponse
from swarmplan.routing.ws_rr import WsRr
from swarmplan.tests.chains.every import every_chain

Make = Callable[..., Problem]
Place = Callable[[np.random.Generator, Problem], Placement]


def request(tokens: int, client: int) -> Request:
    return Request(
        id=0,
        client=client,
        arrival_s=0.0,
        prompt_tokens=10,
        output_tokens=5,
        reserved_tokens=tokens,
    )


@settings(max_examples=200)
@given(
    seed=st.integers(0, 10**6),
    sessions=st.integers(0, 12),
    tokens=st.integers(12, 60),
    start=st.sampled_from((0, 0, 0, 3)),
)
def test_the_chain_is_the_best_of_all_time_plus_longest_wait(
    make_problem: Make,
    make_placement: Place,
    seed: int,
    sessions: int,
    tokens: int,
    start: int,
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    placement = make_placement(rng, problem)
    cost = CostModel.of(problem)
    state, router = SwarmState(cost, placement), LeastResponse(cost, placement)
    for number in range(sessions):
        every = list(every_chain(placement, 6))
        if every:
            route = every[int(rng.integers(len(every)))]
            state.reserve(number, route, int(rng.integers(5, 40)), float(rng.integers(1, 40)) / 4)
    banned = set(rng.choice(5, int(rng.integers(0, 2))).tolist())
    state.set_down(2, bool(rng.random() < 0.2))
    out = banned | ({2} if state.down[2] else set())
    asked, now = request(tokens, int(rng.integers(2))), float(rng.integers(0, 8)) / 2
    shape = cost.shape(asked.client, 10, max(1, tokens - 10))
    found = {
        route: cost.route_time(route, shape).total_s + state.wait_s(route, tokens, now)
        for route in every_chain(placement, 6, start, out)
    }
    best = min(found.values(), default=np.inf)
    if best == np.inf:
        error = RequestTooLargeError if found else NoRouteError
        with pytest.raises(error):
            router(asked, state, now, start_block=start, exclude=frozenset(banned))
        return
    decision = router(asked, state, now, start_block=start, exclude=frozenset(banned))
    assert decision.cost_s == pytest.approx(best, rel=1e-12)
    assert found[decision.route] == pytest.approx(best, rel=1e-12)
    summed = WsRr(cost, placement)(asked, state, now, start_block=start, exclude=frozenset(banned))
    assert decision.cost_s <= summed.cost_s * (1 + 1e-12)


def test_waits_that_pass_together_are_not_added_up(tiny: Problem) -> None:
    """Two full servers in a chain: WS-RR counts both waits, what really passes is the longer."""
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 3), (3, 6), (0, 0), (0, 0)], cache_bytes=[600] * 4)
    state = SwarmState(cost, placement)
    chain = Route(hops=(Hop(server=0, start=0, end=3), Hop(server=1, start=3, end=6)))
    state.reserve(7, chain, 20, 5.0)
    asked = request(20, 0)
    ahead = LeastResponse(cost, placement)
    alone = ahead(asked, SwarmState(cost, placement), 0.0).cost_s
    assert ahead(asked, state, 0.0).cost_s == pytest.approx(alone + 5)
    assert WsRr(cost, placement)(asked, state, 0.0).cost_s == pytest.approx(alone + 10)
