"""Greedy cache allocation against an independent search on the graph of servers."""

from __future__ import annotations

import dataclasses
import itertools
from unittest.mock import patch

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains import compose
from swarmplan.chains.compose import (
    bearable_per_s,
    client_shares,
    gca,
    job_costs,
    total_service_rate,
)
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request, Workload
from swarmplan.perfmodel.cost import CostModel
from swarmplan.tests.placement.offline import uneven


def reference_gca(cost: CostModel, placement: Placement) -> list[tuple[tuple[int, ...], int]]:
    """GCA on the graph of servers, by networkx: an independent check."""
    jobs, length = job_costs(cost), cost.num_blocks
    free = placement.cache_bytes.tolist()
    start, end = placement.start.tolist(), placement.end.tolist()
    servers = [j for j in range(cost.problem.num_servers) if end[j] > start[j]]
    found: list[tuple[tuple[int, ...], int]] = []
    while True:
        graph = nx.DiGraph()
        graph.add_nodes_from(["source", "sink"])
        for j in servers:
            for i, reached in [("source", 0), *((i, end[i]) for i in servers)]:
                if not start[j] <= reached < end[j]:
                    continue
                need = int(cost.session_bytes(reached, end[j]))
                if need <= free[j]:
                    seconds = float(jobs.hop_s[j] + jobs.run_s(j, reached, end[j]))
                    graph.add_edge(i, j, weight=seconds, need=need)
            if end[j] == length:
                graph.add_edge(j, "sink", weight=0.0, need=0)
        try:
            path = nx.dijkstra_path(graph, "source", "sink")
        except nx.NetworkXNoPath:
            return found
        needs = [graph.edges[link]["need"] for link in itertools.pairwise(path)][:-1]
        capacity = min(free[j] // need for j, need in zip(path[1:-1], needs, strict=True))
        for j, need in zip(path[1:-1], needs, strict=True):
            free[j] -= capacity * need
        found.append((tuple(path[1:-1]), capacity))


@given(
    spans=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=4, max_size=4),
    pools=st.lists(st.integers(0, 3_000), min_size=4, max_size=4),
    unequal=st.booleans(),
)
def test_gca_equals_the_search_on_the_graph_of_servers(
    tiny: Problem, spans: list[tuple[int, int]], pools: list[int], unequal: bool
) -> None:
    problem = uneven(tiny, np.random.default_rng(sum(pools))) if unequal else tiny
    cost = CostModel.of(problem)
    placement = cost.placed([(s, min(s + m, 6)) for s, m in spans], cache_bytes=pools)
    chains = gca(cost, placement)
    expected = reference_gca(cost, placement)
    assert [(c.route.servers, c.capacity) for c in chains] == expected
    with patch.object(compose, "MANY_SERVERS", 0):  # by compiled code, as on large swarms
        assert gca(cost, placement) == chains
    used = np.zeros(4, dtype=np.int64)
    for chain in chains:
        assert chain.route.hops[0].start == 0
        assert chain.route.hops[-1].end == 6
        for hop in chain.route.hops:
            used[hop.server] += chain.capacity * int(cost.session_bytes(hop.start, hop.end))
    assert (used <= placement.cache_bytes).all()


def test_service_times_are_the_mean_over_the_clients(tiny: Problem) -> None:
    for relay in ("client", "server"):
        network = dataclasses.replace(tiny.network, relay=relay)
        problem = dataclasses.replace(tiny, network=network)
        cost = CostModel.of(problem)
        placement = cost.placed([(0, 4), (3, 6), (0, 3), (0, 0)])
        shares = client_shares(problem)
        chains = gca(cost, placement)
        assert chains
        for chain in chains:
            times = [cost.route_time(chain.route, cost.planned(c)).total_s for c in range(2)]
            assert chain.service_time_s == pytest.approx(float(np.dot(shares, times)), rel=1e-12)


def test_the_total_rate_counts_every_session_of_every_chain(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    chains = gca(cost, cost.placed([(0, 5), (3, 6), (0, 3), (0, 0)]))
    assert chains
    assert total_service_rate(chains) == pytest.approx(
        sum(c.capacity / c.service_time_s for c in chains)
    )


def test_a_placement_that_covers_nothing_has_no_chain(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    assert gca(cost, cost.placed([(0, 3), (0, 3), (0, 0), (0, 0)])) == ()


def test_shares_are_those_of_the_rates_or_of_the_trace(tiny: Problem) -> None:
    near, far = tiny.workload.classes
    uneven_rates = dataclasses.replace(
        tiny.workload, classes=(near, dataclasses.replace(far, rate_per_s=1.5))
    )
    assert client_shares(dataclasses.replace(tiny, workload=uneven_rates)).tolist() == [0.25, 0.75]
    one = Request(
        id=0, client=1, arrival_s=0.0, prompt_tokens=1, output_tokens=1, reserved_tokens=2
    )
    trace = (one, one, dataclasses.replace(one, client=0), one)
    traced = dataclasses.replace(tiny, workload=Workload(trace=trace))
    assert client_shares(traced).tolist() == [0.25, 0.75]
    assert client_shares(dataclasses.replace(tiny, workload=Workload())).tolist() == [0.5, 0.5]


def test_chains_bear_no_more_than_their_servers_compute(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    roomy = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)], cache_bytes=[10**6, 0, 0, 0])
    chains = gca(cost, roomy)
    work = cost.planned(0).run_s(0, 0, 6)
    assert total_service_rate(chains) > 1 / work
    assert bearable_per_s(cost, chains) == pytest.approx(1 / work)
    small = gca(cost, cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)], cache_bytes=[1_400, 0, 0, 0]))
    assert bearable_per_s(cost, small) == total_service_rate(small) < 1 / work
    alone = tuple(dataclasses.replace(s, sharing="independent") for s in tiny.servers)
    ideal = CostModel.of(dataclasses.replace(tiny, servers=alone))
    assert bearable_per_s(ideal, chains) == total_service_rate(chains)
