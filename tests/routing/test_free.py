"""The fastest free chain, checked against all chains of a small placement."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.errors import NoRouteError
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.latency import route_time
from swarmplan.routing.free import FastestFree
from swarmplan.routing.state import SwarmState

ASK = Request(id=0, client=0, arrival_s=0.0, prompt_tokens=11, output_tokens=11, reserved_tokens=22)


def placed(problem: Problem) -> Placement:
    return CostModel.of(problem).placed([(0, 3), (2, 5), (3, 6), (4, 6)])


def chains(placement: Placement) -> list[Route]:
    """All chains, found by trying every order of servers."""
    found = []
    for size in range(1, 5):
        for servers in product(range(4), repeat=size):
            at, hops = 0, []
            for j in servers:
                start, end = int(placement.start[j]), int(placement.end[j])
                if not start <= at < end:
                    break
                hops.append(Hop(server=j, start=at, end=end))
                at = end
            else:
                if at == 6:
                    found.append(Route(hops=tuple(hops)))
    return found


@given(st.lists(st.integers(0, 3), max_size=4))
def test_it_takes_the_fastest_chain_that_has_room(tiny: Problem, busy: list[int]) -> None:
    placement = placed(tiny)
    state = SwarmState(CostModel.of(tiny), placement)
    for session, j in enumerate(busy):
        if state.free_bytes[j] >= 660:
            start, end = int(placement.start[j]), int(placement.end[j])
            part = Route(hops=(Hop(server=j, start=start, end=end),))
            state.reserve(session + 1, part, 22, 50.0)
    free = [r for r in chains(placement) if state.fits_now(r, 22)]
    decision = FastestFree(CostModel.of(tiny), placement)(ASK, state, 0.0)
    if free:
        best = min(route_time(tiny, 0, r, 11, 11).total_s for r in free)
        assert decision.cost_s == pytest.approx(best)
        assert decision.route in free
    else:
        assert decision.cost_s > 0


def test_without_any_chain_it_says_so(tiny: Problem) -> None:
    placement = CostModel.of(tiny).placed([(0, 3), (0, 3), (0, 0), (0, 0)])
    with pytest.raises(NoRouteError):
        FastestFree(CostModel.of(tiny), placement)(
            ASK, SwarmState(CostModel.of(tiny), placement), 0.0
        )


def test_servers_that_are_down_or_excluded_are_not_used(tiny: Problem) -> None:
    placement = placed(tiny)
    state = SwarmState(CostModel.of(tiny), placement)
    router = FastestFree(CostModel.of(tiny), placement)
    first = router(ASK, state, 0.0).route.servers
    last = first[-1]
    assert last not in router(ASK, state, 0.0, exclude=frozenset({last})).route.servers
    state.set_down(last, True)
    assert last not in router(ASK, state, 0.0).route.servers
    assert np.isfinite(router(ASK, state, 0.0, start_block=3).cost_s)
