"""Shortest chains against enumeration, under both relays, from any block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.chains.shortest import build_graph, exit_cost_s, link_cost_s, shortest
from swarmplan.core.names import Relay
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.latency import hop_cost, route_time

Make = Callable[..., Problem]
Place = Callable[[np.random.Generator, Problem], Placement]


def chains(placement: Placement, length: int, at: int) -> Iterator[Route]:
    """Every chain from ``at`` to the end."""
    if at == length:
        yield Route(hops=())
        return
    for j in range(len(placement.start)):
        start, end = int(placement.start[j]), int(placement.end[j])
        if start <= at < end:
            for rest in chains(placement, length, end):
                yield Route(hops=(Hop(server=j, start=at, end=end), *rest.hops))


def priced(problem: Problem, client: int, route: Route) -> float:
    """Links of docs/model.md: under server relay the value at the last hop, i = h."""
    if problem.network.relay == "client":
        return route_time(problem, client, route, 10, 9).total_s
    net, cost = problem.network, hop_cost(problem, client, 10, 9)
    step = prompt = 0.0
    for i, hop in enumerate(route.hops):
        j, before = hop.server, route.hops[i - 1].server
        leg = net.client_rtt_s[client, j] if i == 0 else net.server_rtt_s[before, j]
        step += leg / 2 + net.step_overhead_s + cost.step_block_s[j] * len(hop)
        prompt += cost.prefill_hop_s[j] + cost.prefill_block_s[j] * len(hop)
    return float(prompt + 8 * (step + net.client_rtt_s[client, route.hops[-1].server] / 2))


@pytest.mark.parametrize("relay", ["client", "server"])
@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), client=st.integers(0, 1), start=st.sampled_from((0, 0, 3)))
def test_the_sweep_finds_the_least_of_all_chains(
    make_problem: Make, make_placement: Place, relay: Relay, seed: int, client: int, start: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, relay=relay)
    placement = make_placement(rng, problem)
    graph = build_graph(CostModel.of(problem), placement, start)
    cost = hop_cost(problem, client, 10, 9)
    leave = exit_cost_s(problem, client, cost)
    links, total = shortest(graph, link_cost_s(problem, graph, client, cost), leave)
    found = {route: priced(problem, client, route) for route in chains(placement, 6, start)}
    if not found:
        assert (links, total) == ([], float("inf"))
        return
    assert total == pytest.approx(min(found.values()), rel=1e-12)
    assert found[graph.route(links)] == pytest.approx(total, rel=1e-12)
    # What the links add up to never exceeds what the route really takes.
    taken = route_time(problem, client, graph.route(links), 10, 9).total_s
    assert total <= taken * (1 + 1e-12)


@given(seed=st.integers(0, 10**6))
def test_one_link_per_pair_changes_no_cost_under_client_relay(
    make_problem: Make, make_placement: Place, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    placement = make_placement(rng, problem)
    cost = hop_cost(problem, 0, 10, 9)
    totals = []
    for pairs in (False, True):
        graph = build_graph(CostModel.of(problem), placement, pairs=pairs)
        totals.append(shortest(graph, cost.hop_s[graph.server] + cost.block_s[graph.server]
                               * graph.blocks)[1])  # fmt: skip
    assert totals[0] == pytest.approx(totals[1], rel=1e-12) or totals == [np.inf, np.inf]


def test_links_that_must_not_be_used_are_infinite(tiny: Problem) -> None:
    placement = CostModel.of(tiny).placed([(0, 6), (0, 3), (3, 6), (0, 0)])
    graph = build_graph(CostModel.of(tiny), placement)
    cost = np.where(graph.server == 0, np.inf, 1.0)
    links, total = shortest(graph, cost)
    assert graph.route(links).servers == (1, 2)
    assert total == 2.0
