"""The value by pairs, against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.content import IntArray
from swarmplan.routing.pairs import Pairs
from swarmplan.routing.slot import WAIT
from swarmplan.tests.routing.random_slots import random_slot


def defined(value: Pairs, choice: IntArray) -> float:
    """The value term by term, as the golden file defines it."""
    on = [(r, p) for r, p in enumerate(choice.tolist()) if p != WAIT]
    total = sum(value.cost_s[o] for o in on)
    total += sum(w for w, p in zip(value.wait_s, choice, strict=True) if p == WAIT)
    for j, sigma in enumerate(value.sigma_s.tolist()):
        here = [(r, value.blocks[r, p, j]) for r, p in on if value.blocks[r, p, j] > 0]
        met = sum(value.steps[r] * k for r, k in here for s, _ in here if s != r)
        met += value.running[j] * sum(value.steps[r] * k for r, k in here)
        total += sigma * (met + value.running_steps_blocks[j] * len(here))
    return float(total)


@given(seed=st.integers(0, 10**6))
def test_it_is_what_it_is_defined_to_be(seed: int) -> None:
    _, value = random_slot(seed)
    choice = np.random.default_rng(seed).integers(WAIT, 3, 5)
    assert value(choice) == pytest.approx(defined(value, choice), rel=1e-12)


@given(seed=st.integers(0, 10**6))
def test_it_is_a_sum_over_requests_and_over_pairs(seed: int) -> None:
    _, value = random_slot(seed)
    choice = np.random.default_rng(seed).integers(0, 3, 5)
    on, alone = list(enumerate(choice.tolist())), value.alone_s()
    total = sum(alone[o] for o in on)
    total += sum(value.pair_s(a, b) for i, a in enumerate(on) for b in on[i + 1 :])
    assert value(choice) == pytest.approx(total, rel=1e-12)
