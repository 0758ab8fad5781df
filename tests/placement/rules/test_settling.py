"""PETALS' rule P4 compiled: the same starts as in plain Python."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.placement.rules import petals
from swarmplan.placement.rules.petals import rebalanced


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), length=st.integers(2, 10))
def test_servers_of_a_large_swarm_settle_where_they_do_in_plain_python(
    seed: int, n: int, length: int
) -> None:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(1, length + 1, n)
    rates = np.round(rng.uniform(0.5, 4.0, n), int(rng.integers(0, 4)))  # some of them alike
    start = np.array([int(rng.integers(0, length - m + 1)) for m in blocks])
    joined = rng.permutation(n)[: int(rng.integers(1, n + 1))].tolist()

    def settled(many: int) -> list[int]:
        with patch.object(petals, "MANY", many):
            asked = np.random.default_rng(seed)
            return list(rebalanced(start, blocks, rates, joined, length, asked))

    assert settled(1) == settled(10**9)
