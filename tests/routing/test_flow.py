"""Dealing by a flow: shares, spread, rooms that are full."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.capacity import planned_mix
from swarmplan.chains.sustain import sustained
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.flow import ByFlow, Dealer
from swarmplan.routing.state import SwarmState

REQUEST = Request(
    id=0, client=0, arrival_s=0.0, prompt_tokens=11, output_tokens=11, reserved_tokens=22
)


@given(weights=st.lists(st.integers(1, 9), min_size=1, max_size=6), rounds=st.integers(1, 3))
def test_in_a_round_everybody_is_drawn_by_its_weight(weights: list[int], rounds: int) -> None:
    dealer, drawn = Dealer(range(len(weights)), weights), [0] * len(weights)
    for _ in range(rounds * sum(weights)):
        target = dealer.ranked()[0]
        dealer.draw(target)
        drawn[target] += 1
    assert drawn == [rounds * w for w in weights]


def test_like_servers_take_turns_and_a_full_one_is_passed_over(tiny: Problem) -> None:
    problem = replace(tiny, servers=tuple(replace(s, sharing="batched") for s in tiny.servers))
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 4), (4, 6), (4, 6), (0, 0)])
    router, state = ByFlow(cost, placement), SwarmState(cost, placement)
    taken = [router(REQUEST, state, 0.0).route for _ in range(4)]
    assert [r.servers for r in taken] == [(0, 1), (0, 2), (0, 1), (0, 2)]
    full = replace(placement, cache_bytes=placement.cache_bytes * np.array([1, 0, 1, 1]))
    router, state = ByFlow(cost, full), SwarmState(cost, full)
    assert {router(REQUEST, state, 0.0).route.servers for _ in range(4)} == {(0, 2)}


def test_servers_of_one_task_at_a_time_are_dealt_the_routes_of_the_programme(
    tiny: Problem,
) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 3), (0, 3), (3, 6), (3, 5)])
    flows = sustained(cost, placement, planned_mix(tiny)).flows
    router, state = ByFlow(cost, placement), SwarmState(cost, placement)
    taken = [router(REQUEST, state, 0.0).route for _ in range(200)]
    whole = sum(flow.rate_per_s for flow in flows)
    for flow in flows:
        share = flow.rate_per_s / whole
        assert taken.count(flow.route) / 200 == pytest.approx(share, abs=0.02)


def test_the_rest_of_a_chain_is_left_to_ws_rr(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 3), (3, 6), (3, 6), (0, 0)])
    router, state = ByFlow(cost, placement), SwarmState(cost, placement)
    found = router(REQUEST, state, 0.0, start_block=3, exclude=frozenset({1}))
    assert found.route.servers == (2,)
