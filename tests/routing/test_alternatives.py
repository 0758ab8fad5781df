"""The cheapest chain through every server, against enumeration."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.plan import Hop, Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.latency import hop_cost
from swarmplan.routing.alternatives import cheapest_chains_through

SPANS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), min_size=4, max_size=4)


def chains(placement: Placement, length: int, at: int = 0) -> Iterator[tuple[Hop, ...]]:
    """Every chain from position ``at`` to the end that leaves each span at its end."""
    if at == length:
        yield ()
        return
    for j in range(len(placement.start)):
        start, end = int(placement.start[j]), int(placement.end[j])
        if start <= at < end:
            for rest in chains(placement, length, end):
                yield (Hop(server=j, start=at, end=end), *rest)


@given(spans=SPANS, client=st.integers(0, 1))
def test_every_alternative_is_the_cheapest_chain_through_its_server(
    tiny: Problem, spans: list[tuple[int, int]], client: int
) -> None:
    placement = CostModel.of(tiny).placed([(min(s), max(s)) for s in spans])
    cost = hop_cost(tiny, client, 11, 11)
    every = list(chains(placement, tiny.model.num_blocks))
    for found in cheapest_chains_through(tiny, placement, client, cost):
        through = [
            sum(cost.step_hop_s[h.server] + cost.step_block_s[h.server] * len(h) for h in hops)
            for hops in every
            if any(h.server == found.server for h in hops)
        ]
        assert found.step_s == pytest.approx(min(through, default=np.inf))
        assert (found.route is None) == (not through)
        if found.route is not None:
            assert found.route.hops in every
