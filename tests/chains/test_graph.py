"""The routing graph: every hop that PETALS' rule allows, and no other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.graph import build_graph, session_bytes
from swarmplan.core.names import Relay
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel

Make = Callable[..., Problem]
Place = Callable[[np.random.Generator, Problem], Placement]
STARTS = st.sampled_from((0, 0, 3))


def allowed(placement: Placement, begin: int) -> set[tuple[int, int, int, int]]:
    """(server before, server, start, end) of every hop: ``s_j <= e_i < e_j``, after ``begin``."""
    found = set()
    hosts = np.flatnonzero(placement.num_blocks).tolist()
    for j in hosts:
        start, end = int(placement.start[j]), int(placement.end[j])
        for i, at in [(-1, begin), *((i, int(placement.end[i])) for i in hosts)]:
            if max(start, begin) <= at < end and (i < 0 or at > begin):
                found.add((i, j, at, end))
    return found


@given(seed=st.integers(0, 10**6), begin=STARTS)
def test_links_by_pairs_are_the_hops_of_the_rule(
    make_problem: Make, make_placement: Place, seed: int, begin: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    placement = make_placement(rng, problem)
    graph = build_graph(CostModel.of(problem), placement, begin, pairs=True)
    links = zip(graph.previous, graph.server, graph.origin, graph.end, strict=True)
    found = [tuple(map(int, link)) for link in links]
    assert len(set(found)) == len(found)
    assert set(found) == allowed(placement, begin)


@given(seed=st.integers(0, 10**6), begin=STARTS)
def test_merged_links_are_the_same_hops_whatever_server_was_before(
    make_problem: Make, make_placement: Place, seed: int, begin: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    placement = make_placement(rng, problem)
    graph = build_graph(CostModel.of(problem), placement, begin)
    links = zip(graph.server, graph.origin, graph.end, strict=True)
    found = [tuple(map(int, link)) for link in links]
    assert len(set(found)) == len(found)
    assert set(found) == {link[1:] for link in allowed(placement, begin)}


@given(seed=st.integers(0, 10**6), begin=STARTS, pairs=st.booleans())
def test_nodes_come_after_all_that_lead_to_them(
    make_problem: Make, make_placement: Place, seed: int, begin: int, pairs: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    placement = make_placement(rng, problem)
    graph = build_graph(CostModel.of(problem), placement, begin, pairs=pairs)
    place = {graph.source: -1, **{node: i for i, (node, _) in enumerate(graph.groups)}}
    seen = 0
    for node, links in graph.groups:
        assert links.start == seen
        seen = links.stop
        for link in range(links.start, links.stop):
            assert graph.head(link) == node
            # A server that nobody leads to has no links of its own, and no place.
            assert place.get(int(graph.tail[link]), -1) < place[node]
    assert seen == len(graph.server)
    for j, links in graph.by_server.items():
        assert (graph.server[links] == j).all()
    assert sum(s.stop - s.start for s in graph.by_server.values()) == len(graph.server)


@pytest.mark.parametrize(("relay", "merged"), [("client", True), ("server", False)])
def test_servers_before_are_told_apart_where_the_cost_depends_on_them(
    make_problem: Make, relay: Relay, merged: bool
) -> None:
    cost = CostModel.of(make_problem(np.random.default_rng(0), relay=relay))
    placement = cost.placed([(0, 1)] * 5)
    assert build_graph(cost, placement).merged == merged


def test_a_session_holds_cache_for_the_blocks_of_each_link(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    graph = build_graph(cost, cost.placed([(0, 4), (3, 6), (0, 0), (2, 5)]))
    blocks = (graph.end - graph.origin).tolist()
    assert session_bytes(cost, graph, 7).tolist() == [7 * 10 * k for k in blocks]


def test_a_chain_is_remembered_as_long_as_its_servers_are_the_same(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    graph = build_graph(cost, cost.placed([(0, 6), (0, 3), (3, 6), (0, 0)]))
    links = [i for i in range(len(graph.server)) if graph.end[i] - graph.origin[i] == 6]
    route = graph.route(links)
    assert graph.route(links) is route
    graph.server[links] = 3
    assert [h.server for h in graph.route(links).hops] == [3]
