"""Whether a chain exists, against all chains of a small placement."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.reach import has_chain, reaches
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.tests.chains.every import every_chain
from swarmplan.tests.placement.offline import uneven

Make = Callable[..., Problem]
Place = Callable[[np.random.Generator, Problem], Placement]


@given(seed=st.integers(0, 10**6), tokens=st.integers(0, 120), unequal=st.booleans())
def test_there_is_a_chain_exactly_when_one_of_all_has_room(
    make_problem: Make, make_placement: Place, seed: int, tokens: int, unequal: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    cost = CostModel.of(uneven(problem, rng) if unequal else problem)
    placement = make_placement(rng, cost.problem)
    # What is promised twice is negative.
    free = placement.cache_bytes - rng.integers(0, 3_000, 5)
    every = list(every_chain(placement, 6))

    def room(pool: np.ndarray) -> bool:
        return any(
            all(
                cost.cache_bytes(tokens, h.start, h.end) <= max(pool[h.server], 0)
                for h in route.hops
            )
            for route in every
        )

    assert reaches(cost, placement, free, tokens) == room(free)
    assert has_chain(cost, placement, tokens) == room(placement.cache_bytes)
    assert has_chain(cost, placement) == bool(every)
