"""WS-RR against networkx and against a textbook Dijkstra over a graph built from the formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swarmplan.chains.graph import build_graph
from swarmplan.chains.shortest import shortest
from swarmplan.core.errors import NoRouteError, RequestTooLargeError, SwarmplanError
from swarmplan.core.names import Relay
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem, per_block
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.timing import decode_s, prefill_s
from swarmplan.routing import ws_rr
from swarmplan.routing.api import Ready
from swarmplan.routing.state import SwarmState
from swarmplan.routing.ws_rr import Chains, WsRr

Make = Callable[..., Problem]
Place = Callable[[np.random.Generator, Problem], Placement]
PROMPT, OUTPUT = 10, 9
SOURCE, SINK = -1, 10**6


def request(tokens: int, client: int = 0, number: int = 0) -> Request:
    return Request(
        id=number,
        client=client,
        arrival_s=0.0,
        prompt_tokens=PROMPT,
        output_tokens=3,
        reserved_tokens=tokens,
    )


def graph_of(
    problem: Problem,
    placement: Placement,
    state: SwarmState,
    asked: Request,
    now: float,
    start: int,
    exclude: frozenset[int],
) -> nx.DiGraph:
    """The routing graph of docs/model.md, sections 2, 3 and 7, link by link."""
    network, c = problem.network, asked.client
    steps = max(1, asked.reserved_tokens - PROMPT) - 1
    first = network.prefill_overhead_s + network.prefill_overhead_per_token_s * PROMPT
    graph = nx.DiGraph()
    graph.add_nodes_from([SOURCE, SINK])
    for j, server in enumerate(problem.servers):
        begin, end = int(placement.start[j]), int(placement.end[j])
        if end <= begin or j in exclude or state.down[j]:
            continue
        rtt = float(network.client_rtt_s[c, j])
        timings = per_block(server.timing, problem.model.num_blocks)
        cache = per_block(problem.model.cache_bytes_per_token, problem.model.num_blocks)
        for i in (SOURCE, *range(problem.num_servers)):
            at = start if i == SOURCE else int(placement.end[i])
            empty = i != SOURCE and placement.end[i] <= placement.start[i]
            if i == j or empty or i in exclude or (i >= 0 and state.down[i]):
                continue
            if not begin <= at < end or at < start:
                continue
            need = sum(cache[at:end]) * asked.reserved_tokens
            wait = state.ready_s(j, need, now) - now
            if wait == np.inf:
                continue
            hop = rtt + first + steps * (rtt + network.step_overhead_s)
            if network.relay == "server":
                leg = rtt if i == SOURCE else float(network.server_rtt_s[i, j])
                hop = rtt + first + steps * (leg / 2 + network.step_overhead_s)
            context = PROMPT + (steps + 1) / 2
            compute = sum(
                prefill_s(t, PROMPT) + steps * decode_s(t, context) for t in timings[at:end]
            )
            graph.add_edge(i, j, weight=max(wait, 0.0) + hop + compute)
        if end == problem.model.num_blocks:
            graph.add_edge(j, SINK, weight=steps * rtt / 2 if network.relay == "server" else 0.0)
    return graph


def textbook(graph: nx.DiGraph) -> list[int]:
    """Dijkstra that settles the least distance, then the lowest row; strict improvement only."""
    distance, before, open_ = {SOURCE: 0.0}, {}, set(graph)
    while open_:
        node = min(open_, key=lambda v: (distance.get(v, np.inf), v))
        open_.remove(node)
        for after, link in graph[node].items() if node in distance else ():
            reached = distance[node] + link["weight"]
            if reached < distance.get(after, np.inf):
                distance[after], before[after] = reached, node
    chain, at = [], SINK
    while at != SOURCE:
        at = before[at]
        chain.append(at)
    return chain[-2::-1]


def crowd(state: SwarmState, router: WsRr, rng: np.random.Generator, sessions: int) -> None:
    """Sessions that book their caches, waiting ones included."""
    for number in range(sessions):
        tokens = int(rng.integers(12, 40))
        try:
            route = router(request(tokens, int(rng.integers(2))), state, 0.0).route
        except SwarmplanError:
            continue
        state.reserve(number, route, tokens, float(rng.integers(1, 64)) / 4)


@pytest.mark.parametrize("relay", ["client", "server"])
@settings(max_examples=300)
@given(seed=st.integers(0, 10**6), sessions=st.integers(0, 12), tokens=st.integers(12, 60))
def test_cost_and_ties_are_those_of_dijkstra_on_the_formulas(
    make_problem: Make,
    make_placement: Place,
    relay: Relay,
    seed: int,
    sessions: int,
    tokens: int,
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=int(rng.integers(2, 8)), relay=relay)
    placement = make_placement(rng, problem)
    cost = CostModel.of(problem)
    router, state = WsRr(cost, placement), SwarmState(cost, placement)
    crowd(state, router, rng, sessions)
    start = int(rng.choice([0, 0, 0, 2, 4]))
    exclude = frozenset(rng.choice(problem.num_servers, int(rng.integers(0, 2))).tolist())
    if rng.random() < 0.2:
        state.set_down(int(rng.integers(problem.num_servers)), True)
    asked, now = request(tokens, int(rng.integers(2)), 99), float(rng.integers(0, 16)) / 2
    graph = graph_of(problem, placement, state, asked, now, start, exclude)
    if not nx.has_path(graph, SOURCE, SINK):
        with pytest.raises((NoRouteError, RequestTooLargeError)):
            router(asked, state, now, start_block=start, exclude=exclude)
        return
    decision = router(asked, state, now, start_block=start, exclude=exclude)
    assert decision.cost_s == pytest.approx(nx.dijkstra_path_length(graph, SOURCE, SINK), rel=1e-12)
    assert list(decision.route.servers) == textbook(graph)
    assert [h.start for h in decision.route.hops] == [
        start,
        *(h.end for h in decision.route.hops[:-1]),
    ]
    assert all(h.end == placement.end[h.server] for h in decision.route.hops)


@given(seed=st.integers(0, 10**6))
def test_a_router_that_has_seen_many_states_decides_like_a_new_one(
    make_problem: Make, make_placement: Place, seed: int
) -> None:
    """What is remembered between decisions never shows."""
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    placement = make_placement(rng, problem)
    cost = CostModel.of(problem)
    old, state = WsRr(cost, placement), SwarmState(cost, placement)
    assume((placement.coverage(6) > 0).all())
    for number in range(15):
        asked = request(int(rng.integers(12, 40)), int(rng.integers(2)), number)
        now = number / 4
        try:
            decision = old(asked, state, now)
        except RequestTooLargeError:
            with pytest.raises(RequestTooLargeError):
                WsRr(cost, placement)(asked, state, now)
            continue
        assert decision == WsRr(cost, placement)(asked, state, now)
        state.reserve(number, decision.route, asked.reserved_tokens, now + float(rng.integers(9)))
        state.release(int(rng.integers(15)))


@pytest.mark.parametrize("relay", ["client", "server"])
@given(seed=st.integers(0, 10**6))
def test_compiled_decisions_are_the_plain_ones(
    make_problem: Make, make_placement: Place, relay: Relay, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, relay=relay)
    graph = build_graph(CostModel.of(problem), make_placement(rng, problem))
    cost_s = np.where(
        rng.random(len(graph.server)) < 0.2, np.inf, rng.integers(0, 3, graph.server.shape)
    )
    leave_s = rng.integers(0, 3, problem.num_servers) / 2 if relay == "server" else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ws_rr, "OFTEN", 0)
        assert Chains(graph)(cost_s, leave_s) == shortest(graph, cost_s, leave_s)


def test_equal_chains_go_to_the_lower_row(tiny: Problem) -> None:
    twins = (tiny.servers[1], tiny.servers[1])
    problem = Problem(
        model=tiny.model,
        servers=(tiny.servers[0], *twins, tiny.servers[3]),
        clients=tiny.clients[:1],
        network=type(tiny.network)(
            client_rtt_s=np.full((1, 4), 0.02), server_rtt_s=np.zeros((4, 4))
        ),
        workload=tiny.workload,
        planning=tiny.planning,
    )
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 3), (3, 6), (3, 6), (0, 0)])
    decision = WsRr(cost, placement)(request(20), SwarmState(cost, placement), 0.0)
    assert decision.route.servers == (0, 1)


def test_the_true_output_length_is_not_looked_at(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 5), (3, 6), (0, 3), (4, 6)])
    state = SwarmState(cost, placement)
    costs = set()
    for output in (1, 9, 5_000):
        asked = Request(
            id=0,
            client=0,
            arrival_s=0.0,
            prompt_tokens=10,
            output_tokens=output,
            reserved_tokens=20,
        )
        costs.add(WsRr(cost, placement)(asked, state, 0.0).cost_s)
    assert len(costs) == 1


def test_a_block_without_a_server_is_no_route(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 2), (3, 6), (0, 2), (4, 6)])
    with pytest.raises(NoRouteError, match="some block is not hosted"):
        WsRr(cost, placement)(request(20), SwarmState(cost, placement), 0.0)


def test_a_session_that_fits_no_idle_server_is_too_large_not_awaited(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (3, 6), (0, 3), (4, 6)])
    with pytest.raises(RequestTooLargeError, match="more than some server"):
        WsRr(cost, placement)(request(100_000), SwarmState(cost, placement), 0.0)


class Counted(SwarmState):
    """A swarm that counts how often anybody asks when its servers are free."""

    looks = 0

    def ready_many(self, server: int, needs_bytes: Iterable[int]) -> list[Ready]:
        self.looks += 1
        return super().ready_many(server, needs_bytes)


def test_only_servers_whose_reservations_changed_are_looked_at_again(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (4, 6), (0, 3), (3, 6)], cache_bytes=[2_000] * 4)
    first = Route(hops=(Hop(server=0, start=0, end=4), Hop(server=1, start=4, end=6)))
    state, router = Counted(cost, placement), WsRr(cost, placement)

    def looks_for(tokens: int) -> int:
        before = state.looks
        asked = request(tokens)
        found = router(asked, state, 0.0)
        looks = state.looks - before
        assert found == WsRr(cost, placement)(asked, state, 0.0)
        return looks

    assert looks_for(30) == 0  # there is room everywhere
    state.reserve(1, first, 50, 9.0)  # takes all of the first server, half of the second
    assert (looks_for(30), looks_for(30)) == (1, 0)
    state.reserve(2, first, 0, 9.0)
    assert (looks_for(30), looks_for(30)) == (1, 0)
    assert (looks_for(31), looks_for(31), looks_for(30)) == (1, 0, 1)
    state.release(1)
    assert looks_for(30) == 0
