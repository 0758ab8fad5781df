"""Dealing by one largest flow of ratings: against a solver of flows, rooms that are full."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from swarmplan.core.errors import NoRouteError
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing import maxflow
from swarmplan.routing.maxflow import MaxFlow
from swarmplan.routing.state import SwarmState
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build
from swarmplan.scenarios.generate import generate

REQUEST = Request(
    id=0, client=0, arrival_s=0.0, prompt_tokens=11, output_tokens=11, reserved_tokens=22
)


def rated(problem: Problem, *tokens_per_s: float) -> Problem:
    """Servers that batch, each rated alike for whatever it hosts."""
    servers = zip(problem.servers, tokens_per_s, strict=True)
    return replace(
        problem,
        servers=tuple(replace(s, sharing="batched", rated_per_s=(r,) * 6) for s, r in servers),
    )


def test_requests_go_by_the_ratings_until_the_narrowest_stage_is_used_up(tiny: Problem) -> None:
    cost = CostModel.of(rated(tiny, 400.0, 300.0, 100.0, 50.0))
    placement = cost.placed([(0, 4), (4, 6), (4, 6), (0, 0)])
    router, state = MaxFlow(cost, placement), SwarmState(cost, placement)
    taken = [router(REQUEST, state, 0.0).route.servers for _ in range(100)]
    assert taken.count((0, 1)) == 75
    assert taken.count((0, 2)) == 25


def test_a_like_server_that_the_flow_does_not_need_is_left_alone(tiny: Problem) -> None:
    cost = CostModel.of(rated(tiny, 100.0, 300.0, 300.0, 50.0))
    placement = cost.placed([(0, 4), (4, 6), (4, 6), (0, 0)])
    router, state = MaxFlow(cost, placement), SwarmState(cost, placement)
    assert len({router(REQUEST, state, 0.0).route.servers for _ in range(20)}) == 1


def test_spans_are_entered_where_the_one_before_ends(tiny: Problem) -> None:
    cost = CostModel.of(rated(tiny, 100.0, 100.0, 100.0, 100.0))
    placement = cost.placed([(0, 3), (2, 5), (4, 6), (0, 0)])
    router, state = MaxFlow(cost, placement), SwarmState(cost, placement)
    route = router(REQUEST, state, 0.0).route
    assert [(h.server, h.start, h.end) for h in route.hops] == [(0, 0, 3), (1, 3, 5), (2, 5, 6)]


def test_a_full_server_is_passed_over_and_a_loss_is_routed_around(tiny: Problem) -> None:
    cost = CostModel.of(rated(tiny, 400.0, 300.0, 100.0, 50.0))
    placement = cost.placed([(0, 4), (4, 6), (4, 6), (0, 0)])
    full = replace(placement, cache_bytes=placement.cache_bytes * np.array([1, 0, 1, 1]))
    router, state = MaxFlow(cost, full), SwarmState(cost, full)
    assert {router(REQUEST, state, 0.0).route.servers for _ in range(4)} == {(0, 2)}
    router, state = MaxFlow(cost, placement), SwarmState(cost, placement)
    again = router(REQUEST, state, 0.0, start_block=4, exclude=frozenset({1}))
    assert again.route.servers == (2,)


def test_where_no_flow_goes_through_ws_rr_finds_no_chain_either(tiny: Problem) -> None:
    cost = CostModel.of(rated(tiny, 400.0, 300.0, 100.0, 50.0))
    for spans in ([(0, 3), (0, 0), (4, 6), (0, 0)], [(1, 3), (3, 6), (0, 0), (0, 0)]):
        placement = cost.placed(spans)
        with pytest.raises(NoRouteError):
            MaxFlow(cost, placement)(REQUEST, SwarmState(cost, placement), 0.0)


def test_where_all_spans_meet_none_is_entered_in_its_middle(tiny: Problem) -> None:
    cost = CostModel.of(rated(tiny, 400.0, 100.0, 50.0, 50.0))
    placement = cost.placed([(2, 6), (0, 3), (3, 6), (0, 2)])
    router, state = MaxFlow(cost, placement), SwarmState(cost, placement)
    taken = {router(REQUEST, state, 0.0).route.servers for _ in range(20)}
    assert taken == {(1, 2), (3, 0)}


def test_servers_that_share_a_flow_evenly_are_all_used_however_many(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maxflow, "LEAST", 0.6)  # of two that share evenly each has half of it
    cost = CostModel.of(rated(tiny, 400.0, 100.0, 100.0, 50.0))
    placement = cost.placed([(0, 4), (4, 6), (4, 6), (0, 0)])
    router, state = MaxFlow(cost, placement), SwarmState(cost, placement)
    assert {router(REQUEST, state, 0.0).route.servers for _ in range(4)} == {(0, 1), (0, 2)}


def test_no_flow_ends_amid_the_way() -> None:
    document = generate("geographic", servers=12, clients=2, seed=1)
    cost = CostModel.of(build(msgspec.convert(document, schema.Scenario), Path()).problem)
    start = (16, 0, 0, 16, 0, 43, 0, 32, 54, 0, 32, 0)
    end = (32, 57, 0, 70, 0, 54, 32, 43, 70, 0, 64, 16)
    onward = maxflow.dealers(cost, cost.placed(list(zip(start, end, strict=True))))
    targets = {j for dealer in onward.values() for j in dealer.ranked()}
    assert targets <= {*onward, maxflow.CLIENT}
