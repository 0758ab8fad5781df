"""Chains that differ, each the cheapest through a server: as plain sweeps find them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.graph import build_graph, step_costs_s
from swarmplan.chains.shortest import shortest
from swarmplan.chains.through import crossing_of, distinct
from swarmplan.core.names import Relay
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.alternatives import through_each


@pytest.mark.parametrize("relay", ["client", "server"])
@given(seed=st.integers(0, 10**6), most=st.integers(1, 6), ties=st.booleans())
def test_different_chains_come_cheapest_first(
    make_problem: Callable[..., Problem],
    make_placement: Callable[..., Placement],
    relay: Relay,
    seed: int,
    most: int,
    ties: bool,
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, relay=relay)
    placement, cost = make_placement(rng, problem), CostModel.of(problem)
    graph = build_graph(cost, placement)
    links, leave = step_costs_s(cost, graph, cost.planned(0))
    if ties:
        links = np.rint(10 * links)
    links = np.where(rng.random(len(links)) < 0.2, np.inf, links)
    chains = distinct(crossing_of(graph), links, np.zeros(0) if leave is None else leave, most)
    last = [0.0 if leave is None else leave[graph.server[c[-1]]] for c in chains]
    costs = [float(links[c].sum()) + end for c, end in zip(chains, last, strict=True)]
    assert len({tuple(c) for c in chains}) == len(chains) <= most
    assert costs == pytest.approx(sorted(costs), rel=1e-12)
    assert np.isfinite(costs).all()
    least = shortest(graph, links, leave)[1]
    assert costs[0] == pytest.approx(least) if chains else np.isinf(least)
    through = sorted(through_each(graph, links, leave), key=lambda t: (t[1], t[0]))
    known = list(dict.fromkeys(tuple(walked()) for _, _, walked in through))
    assert [tuple(c) for c in chains] == known[:most]
