"""Shortest chains against enumeration, under both relays, from any block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.chains.graph import build_graph, request_costs_s, step_costs_s
from swarmplan.chains.shortest import backward, forward, shortest, walked_back, walked_on
from swarmplan.core.names import Relay
from swarmplan.core.plan import Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.hops import HopCost
from swarmplan.tests.chains.every import every_chain
from swarmplan.tests.placement.offline import uneven

Make = Callable[..., Problem]
Place = Callable[[np.random.Generator, Problem], Placement]
RELAYS = pytest.mark.parametrize("relay", ["client", "server"])


def priced(cost: CostModel, shape: HopCost, route: Route) -> float:
    """Links of docs/model.md: under server relay the value at the last hop, i = h."""
    net = cost.problem.network
    if net.relay == "client":
        return cost.route_time(route, shape).total_s
    rtt = net.client_rtt_s[shape.client]
    step = prompt = 0.0
    for i, hop in enumerate(route.hops):
        j, before = hop.server, route.hops[i - 1].server
        leg = rtt[j] if i == 0 else net.server_rtt_s[before, j]
        step += leg / 2 + net.step_overhead_s + shape.step_run_s(j, hop.start, hop.end)
        prompt += shape.prefill_hop_s[j] + shape.prefill_run_s(j, hop.start, hop.end)
    return float(prompt + shape.steps * (step + rtt[route.hops[-1].server] / 2))


@RELAYS
@settings(max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    client=st.integers(0, 1),
    start=st.sampled_from((0, 0, 3)),
    unequal=st.booleans(),
)
def test_the_sweep_finds_the_least_of_all_chains(
    make_problem: Make,
    make_placement: Place,
    relay: Relay,
    seed: int,
    client: int,
    start: int,
    unequal: bool,
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, relay=relay)
    cost = CostModel.of(uneven(problem, rng) if unequal else problem)
    placement = make_placement(rng, cost.problem)
    graph, shape = build_graph(cost, placement, start), cost.shape(client, 10, 9)
    links, total = shortest(graph, *request_costs_s(cost, graph, shape))
    found = {route: priced(cost, shape, route) for route in every_chain(placement, 6, start)}
    if not found:
        assert (links, total) == ([], float("inf"))
        return
    assert total == pytest.approx(min(found.values()), rel=1e-12)
    assert found[graph.route(links)] == pytest.approx(total, rel=1e-12)
    # What the links add up to never exceeds what the route really takes.
    taken = cost.route_time(graph.route(links), shape).total_s
    assert total <= taken * (1 + 1e-12)


@given(seed=st.integers(0, 10**6))
def test_one_link_per_pair_changes_no_cost_under_client_relay(
    make_problem: Make, make_placement: Place, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    placement = make_placement(rng, problem)
    cost, totals = CostModel.of(problem), []
    for pairs in (False, True):
        graph = build_graph(cost, placement, pairs=pairs)
        totals.append(shortest(graph, *request_costs_s(cost, graph, cost.shape(0, 10, 9)))[1])
    assert totals[0] == pytest.approx(totals[1], rel=1e-12) or totals == [np.inf, np.inf]


@RELAYS
@given(seed=st.integers(0, 10**6))
def test_both_sweeps_find_the_same_cheapest_chain_through_every_node(
    make_problem: Make, make_placement: Place, relay: Relay, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, relay=relay)
    placement = make_placement(rng, problem)
    cost = CostModel.of(problem)
    graph = build_graph(cost, placement)
    steps, leave = step_costs_s(cost, graph, cost.planned(1))
    _, least = shortest(graph, steps, leave)
    to, by = forward(graph, steps)
    onward, on = backward(graph, steps, leave)
    assert onward[graph.source] == pytest.approx(least, rel=1e-12)
    for node, _ in graph.groups:
        if to[node] + onward[node] == np.inf:
            continue
        chain = [*walked_back(graph, by, node), *walked_on(graph, on, node)]
        route = graph.route(chain)
        assert route in list(every_chain(placement, 6))
        last = 0.0 if leave is None else leave[route.hops[-1].server]
        assert to[node] + onward[node] == pytest.approx(steps[chain].sum() + last, rel=1e-12)
        assert to[node] + onward[node] >= least * (1 - 1e-12)


def test_links_that_must_not_be_used_are_infinite(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 6), (0, 3), (3, 6), (0, 0)])
    graph = build_graph(cost, placement)
    links, total = shortest(graph, np.where(graph.server == 0, np.inf, 1.0))
    assert graph.route(links).servers == (1, 2)
    assert total == 2.0


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize(
    ("spans", "prices", "servers"),
    [
        # Of two last servers at equal cost the lower row.
        ([(0, 6), (0, 6)], {(0, 0): 2.0, (1, 0): 2.0}, (0,)),
        # Of two servers before the one that is reached sooner, though its row is higher.
        ([(0, 4), (0, 2), (2, 6)], {(0, 0): 3.0, (1, 0): 1.0, (2, 4): 1.0, (2, 2): 3.0}, (1, 2)),
        ([(0, 2), (0, 4), (2, 6)], {(0, 0): 3.0, (1, 0): 1.0, (2, 4): 3.0, (2, 2): 1.0}, (1, 2)),
        # Reached at the same time, the lower row.
        ([(0, 4), (0, 2), (2, 6)], {(0, 0): 2.0, (1, 0): 2.0, (2, 4): 1.0, (2, 2): 1.0}, (0, 2)),
        ([(0, 2), (0, 4), (2, 6)], {(0, 0): 2.0, (1, 0): 2.0, (2, 4): 1.0, (2, 2): 1.0}, (0, 2)),
        # The last server's row comes before anything else.
        ([(0, 2), (2, 6), (0, 6)], {(0, 0): 1.0, (1, 2): 1.0, (2, 0): 2.0}, (0, 1)),
        ([(0, 6), (0, 2), (2, 6)], {(0, 0): 2.0, (1, 0): 1.0, (2, 2): 1.0}, (0,)),
    ],
)
def test_ties_are_broken_as_dijkstra_settles_them(
    tiny: Problem,
    pairs: bool,
    spans: list[tuple[int, int]],
    prices: dict[tuple[int, int], float],
    servers: tuple[int, ...],
) -> None:
    cost = CostModel.of(tiny)
    graph = build_graph(cost, cost.placed(spans + [(0, 0)] * (4 - len(spans))), pairs=pairs)
    links = zip(graph.server.tolist(), graph.origin.tolist(), strict=True)
    found, _ = shortest(graph, np.array([prices.get(link, np.inf) for link in links]))
    assert graph.route(found).servers == servers


@pytest.mark.parametrize(("leave", "server"), [((1.0, 2.0), 1), ((2.0, 2.0), 1), ((1.0, 2.5), 0)])
def test_of_chains_as_dear_with_the_way_back_the_one_that_is_done_first_wins(
    tiny: Problem, leave: tuple[float, float], server: int
) -> None:
    cost = CostModel.of(tiny)
    graph = build_graph(cost, cost.placed([(0, 6), (0, 6), (0, 0), (0, 0)]), pairs=True)
    found, total = shortest(graph, np.array([2.0, 1.0]), np.array([*leave, 0.0, 0.0]))
    assert graph.route(found).servers == (server,)
    assert total == 3.0
    equal, _ = shortest(graph, np.array([1.0, 1.0]), np.zeros(4))
    assert graph.route(equal).servers == (0,)
