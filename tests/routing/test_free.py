"""The fastest free chain, checked against all chains of a small placement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.errors import NoRouteError
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.free import FastestFree
from swarmplan.routing.state import SwarmState
from swarmplan.routing.threshold import LeastResponse
from swarmplan.tests.chains.every import every_chain

ASK = Request(id=0, client=0, arrival_s=0.0, prompt_tokens=11, output_tokens=11, reserved_tokens=22)


def placed(cost: CostModel) -> Placement:
    return cost.placed([(0, 3), (2, 5), (3, 6), (4, 6)])


@given(st.lists(st.integers(0, 3), max_size=4))
def test_it_takes_the_fastest_chain_that_has_room(tiny: Problem, busy: list[int]) -> None:
    cost = CostModel.of(tiny)
    placement = placed(cost)
    state = SwarmState(cost, placement)
    for session, j in enumerate(busy):
        if state.free_bytes[j] >= 660:
            start, end = int(placement.start[j]), int(placement.end[j])
            part = Route(hops=(Hop(server=j, start=start, end=end),))
            state.reserve(session + 1, part, 22, 50.0)
    free = [r for r in every_chain(placement, 6) if state.fits_now(r, 22)]
    decision = FastestFree(cost, placement)(ASK, state, 0.0)
    if free:
        best = min(cost.route_time(r, cost.shape(0, 11, 11)).total_s for r in free)
        assert decision.cost_s == pytest.approx(best)
        assert decision.route in free
    else:
        assert decision.cost_s > 0


def test_a_slower_chain_that_is_free_is_taken_although_waiting_would_end_sooner(
    tiny: Problem,
) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 6), (0, 6), (0, 0), (0, 0)], cache_bytes=[1_320, 1_320, 0, 0])
    state = SwarmState(cost, placement)
    fast, slow = (Route(hops=(Hop(server=j, start=0, end=6),)) for j in (0, 1))
    state.reserve(1, fast, 22, 0.1)
    assert LeastResponse(cost, placement)(ASK, state, 0.0).route == fast
    decision = FastestFree(cost, placement)(ASK, state, 0.0)
    assert decision.route == slow
    assert decision.cost_s == pytest.approx(cost.route_time(slow, cost.shape(0, 11, 11)).total_s)
    # Where nothing is free, it waits for the chain that ends first.
    state.reserve(2, slow, 22, 0.1)
    assert FastestFree(cost, placement)(ASK, state, 0.0).route == fast


def test_without_any_chain_it_says_so(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 3), (0, 3), (0, 0), (0, 0)])
    with pytest.raises(NoRouteError):
        FastestFree(cost, placement)(ASK, SwarmState(cost, placement), 0.0)


def test_servers_that_are_down_or_excluded_are_not_used(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = placed(cost)
    state, router = SwarmState(cost, placement), FastestFree(cost, placement)
    first = router(ASK, state, 0.0).route.servers
    last = first[-1]
    assert last not in router(ASK, state, 0.0, exclude=frozenset({last})).route.servers
    state.set_down(last, True)
    assert last not in router(ASK, state, 0.0).route.servers
    assert np.isfinite(router(ASK, state, 0.0, start_block=3).cost_s)
