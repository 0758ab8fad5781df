"""The cheapest chain through every server, against enumeration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.names import Relay
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.alternatives import cheapest_chains_through
from swarmplan.tests.chains.every import every_chain
from swarmplan.tests.placement.offline import uneven

SPANS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), min_size=4, max_size=4)


@given(spans=SPANS, client=st.integers(0, 1), unequal=st.booleans())
def test_every_alternative_is_the_cheapest_chain_through_its_server(
    tiny: Problem, spans: list[tuple[int, int]], client: int, unequal: bool
) -> None:
    cost = CostModel.of(uneven(tiny, np.random.default_rng(client)) if unequal else tiny)
    placement = cost.placed([(min(s), max(s)) for s in spans])
    shape = cost.shape(client, 11, 11)
    every = list(every_chain(placement, 6))
    for found in cheapest_chains_through(cost, placement, shape):
        through = [cost.step_s(r, shape) for r in every if found.server in r.servers]
        assert found.step_s == pytest.approx(min(through, default=np.inf))
        assert (found.route is None) == (not through)
        assert found.route is None or found.route in every


@pytest.mark.parametrize("relay", ["client", "server"])
@given(seed=st.integers(0, 10**6))
def test_alternatives_come_cheapest_first_and_are_timed_as_they_run(
    make_problem: Callable[..., Problem],
    make_placement: Callable[..., Placement],
    relay: Relay,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, relay=relay)
    placement = make_placement(rng, problem)
    cost = CostModel.of(problem)
    found = cheapest_chains_through(cost, placement, cost.planned(1))
    assert sorted(a.server for a in found) == np.flatnonzero(placement.num_blocks).tolist()
    assert [(a.step_s, a.server) for a in found] == sorted((a.step_s, a.server) for a in found)
    for other in found:
        if other.route is not None:
            assert other.server in other.route.servers
            assert other.step_s == pytest.approx(cost.step_s(other.route, cost.planned(1)))
