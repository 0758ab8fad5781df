"""PETALS' route choice: its graph, its constants, its cache test, its blind spots."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.core.errors import NoRouteError
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.petals import PetalsRouting
from swarmplan.routing.state import SwarmState

Make = Callable[..., Problem]
Place = Callable[[np.random.Generator, Problem], Placement]


def request(tokens: int, client: int = 0) -> Request:
    return Request(
        id=0,
        client=client,
        arrival_s=0.0,
        prompt_tokens=10,
        output_tokens=5,
        reserved_tokens=tokens,
    )


def rule_p5(
    problem: Problem, placement: Placement, free: np.ndarray, asked: Request, start: int
) -> nx.DiGraph:
    """The graph over (server, block) of docs/model.md, PETALS' rules P5 and P6."""
    graph, net = nx.DiGraph(), problem.network
    graph.add_nodes_from(["client", "done"])
    length = problem.model.num_blocks
    spans = list(zip(placement.start.tolist(), placement.end.tolist(), strict=True))
    for j, (begin, end) in enumerate(spans):
        if begin == end:
            continue
        needed = asked.reserved_tokens * 10 * (end - begin)
        enter = 0.018 + (10.0 if needed > free[j] else 0.0)
        rps = problem.servers[j].inference_rps or 300.0
        for b in range(begin, end):
            graph.add_edge((j, b), (j, b + 1), weight=1 / rps)
        if begin <= start < end:
            delay = min(net.client_rtt_s[asked.client, j] / 2, 5.0)
            graph.add_edge("client", (j, start), weight=delay + enter)
        if end == length:
            delay = min(net.client_rtt_s[asked.client, j] / 2, 5.0)
            graph.add_edge((j, length), "done", weight=delay)
        for i, (first, at) in enumerate(spans):
            if i != j and first < at and begin <= at < end:
                delay = min(net.server_rtt_s[i, j] / 2, 5.0)
                graph.add_edge((i, at), (j, at), weight=delay + enter)
    return graph


@settings(max_examples=200)
@given(
    seed=st.integers(0, 10**6),
    tokens=st.integers(5, 120),
    start=st.sampled_from((0, 0, 2)),
    farther=st.sampled_from((1, 1, 400)),
)
def test_the_cost_is_that_of_petals_own_graph(
    make_problem: Make, make_placement: Place, seed: int, tokens: int, start: int, farther: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    unknown = dataclasses.replace(problem.servers[1], inference_rps=None)
    net = problem.network
    problem = dataclasses.replace(
        problem,
        servers=(problem.servers[0], unknown, *problem.servers[2:]),
        # Round trips of up to 15 s: PETALS believes in no delay above 5 s.
        network=dataclasses.replace(
            net,
            client_rtt_s=farther * net.client_rtt_s,
            server_rtt_s=farther * np.asarray(net.server_rtt_s),
        ),
    )
    placement = make_placement(rng, problem)
    cost = CostModel.of(problem)
    state, router = SwarmState(cost, placement), PetalsRouting(refresh_s=0.0)(cost, placement)
    asked = request(tokens, int(rng.integers(2)))
    for number in range(4):
        graph = rule_p5(problem, placement, state.free_bytes, asked, start)
        if not nx.has_path(graph, "client", "done"):
            with pytest.raises(NoRouteError):
                router(asked, state, float(number), start_block=start)
            return
        decision = router(asked, state, float(number), start_block=start)
        shortest = nx.dijkstra_path_length(graph, "client", "done")
        assert decision.cost_s == pytest.approx(shortest, rel=1e-12)
        state.reserve(number, decision.route, 20, 99.0)


def whole(cost: CostModel) -> Placement:
    """Two servers that both host everything; 1200 bytes of cache each."""
    return cost.placed([(0, 6), (0, 6), (0, 0), (0, 0)], cache_bytes=[1200, 1200, 0, 0])


def test_lacking_cache_costs_ten_seconds_but_forbids_nothing(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = whole(cost)
    state, router = SwarmState(cost, placement), PetalsRouting(refresh_s=0.0)(cost, placement)
    free = router(request(20), state, 0.0)  # 20 tokens x 10 bytes x 6 blocks: exactly the pool
    short = router(request(21), state, 0.0)
    assert short.cost_s == pytest.approx(free.cost_s + 10.0)


def test_a_client_sees_caches_as_they_were_up_to_a_minute_ago(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = whole(cost)
    state, router = SwarmState(cost, placement), PetalsRouting()(cost, placement)
    first = router(request(20), state, 0.0)
    state.reserve(0, first.route, 20, 500.0)
    assert router(request(20), state, 59.0).route == first.route
    assert router(request(20), state, 60.0).route != first.route


def test_a_decision_is_remembered_while_others_are_asked_for(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = whole(cost)
    state, router = SwarmState(cost, placement), PetalsRouting()(cost, placement)
    first = router(request(20), state, 0.0).route
    far = router(request(20, client=1), state, 0.0).route
    assert router(request(20), state, 0.0).route is first
    assert router(request(20, client=1), state, 0.0).route is far


def test_the_references_count_of_sessions_forgets_the_penalty_below_zero(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = whole(cost)
    for penalty, expected in (("zero", [0, 10, 0]), ("nonpositive", [0, 10, 10])):
        routing = PetalsRouting(cache_penalty=penalty)  # type: ignore[arg-type]
        state, router = SwarmState(cost, placement), routing(cost, placement)
        only_first = frozenset({1})
        base = router(request(20), state, 0.0, exclude=only_first)
        extra = []
        for number in range(3):
            decision = router(request(20), state, 0.0, exclude=only_first)
            extra.append(round(decision.cost_s - base.cost_s))
            state.reserve(number, decision.route, 20, 50.0)
        assert extra == expected


def test_the_reference_loses_links_that_cost_nothing(tiny: Problem) -> None:
    near = tiny.network.client_rtt_s.copy()
    near[0, 0] = 0.0
    network = dataclasses.replace(tiny.network, client_rtt_s=near)
    cost = CostModel.of(dataclasses.replace(tiny, network=network))
    placement = whole(cost)
    state = SwarmState(cost, placement)
    here = PetalsRouting()(cost, placement)(request(20), state, 0.0)
    lost = PetalsRouting(zero_cost_links=False)(cost, placement)(request(20), state, 0.0)
    assert (here.route.servers, lost.route.servers) == ((0,), (1,))


@given(seed=st.integers(0, 10**6))
def test_partial_pings_are_drawn_by_seed_and_only_change_what_is_believed(
    make_problem: Make, make_placement: Place, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=8)
    placement = make_placement(rng, problem)
    cost = CostModel.of(problem)
    state = SwarmState(cost, placement)
    routing = PetalsRouting(pings="partial", seed=seed)
    try:
        one = routing(cost, placement)(request(20), state, 0.0)
    except NoRouteError:
        return
    assert one == routing(cost, placement)(request(20), state, 0.0)
    at = 0
    for hop in one.route.hops:
        assert (hop.start, hop.end) == (at, placement.end[hop.server])
        at = hop.end


def test_excluded_and_lost_servers_are_avoided(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = whole(cost)
    state, router = SwarmState(cost, placement), PetalsRouting()(cost, placement)
    first = router(request(20), state, 0.0).route.servers
    assert router(request(20), state, 0.0, exclude=frozenset(first)).route.servers != first
    state.set_down(0, True)
    with pytest.raises(NoRouteError):
        router(request(20), state, 0.0, exclude=frozenset({1}))
