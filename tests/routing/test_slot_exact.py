"""The exact optimum of small slots, in two ways, and the bound below it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.core.errors import SolverError
from swarmplan.routing.slot import iterate
from swarmplan.routing.slot_exact import by_pairs, enumerated, lower_bound_s
from swarmplan.solve.deadline import Deadline
from swarmplan.tests.routing.random_slots import random_slot
from swarmplan.tests.routing.test_slot import golden_slots


def test_golden_optima_are_found_both_ways_and_bounded(shared_data: Path) -> None:
    for case, slot, value in golden_slots(shared_data):
        choice, least = enumerated(slot, value)
        assert choice.tolist() == case["optimum"]["choice"]
        assert least == pytest.approx(case["optimum"]["value_s"], abs=1e-9)
        _, solved = by_pairs(slot, value, Deadline.after(60))
        assert solved == pytest.approx(least, abs=1e-6)
        bound = lower_bound_s(slot, value.wait_s, value.alone_s(), Deadline.after(60))
        assert case["lower_bound_s"] - 1e-6 <= bound <= least + 1e-6


def test_the_programme_finds_what_enumeration_finds() -> None:
    for seed in range(4):
        slot, value = random_slot(seed, 4)
        found, least = by_pairs(slot, value, Deadline.after(60))
        assert least == pytest.approx(enumerated(slot, value)[1], abs=1e-6)
        assert slot.fits(found)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_nothing_is_below_the_optimum_and_the_optimum_not_below_the_bound(seed: int) -> None:
    slot, value = random_slot(seed, 4)
    _, least = enumerated(slot, value)
    assert iterate(slot, value).value_s >= least - 1e-9
    assert lower_bound_s(slot, value.wait_s, value.alone_s(), Deadline()) <= least + 1e-6


def test_exchanges_find_nearly_every_optimum() -> None:
    gaps = []
    for seed in range(100):
        slot, value = random_slot(seed)
        gaps.append(iterate(slot, value).value_s / enumerated(slot, value)[1] - 1.0)
    assert np.mean(np.array(gaps) < 1e-9) >= 0.98
    assert np.mean(gaps) <= 0.0005
    assert max(gaps) <= 0.03


def test_a_deadline_that_is_over_is_told() -> None:
    slot, value = random_slot(0, 16, 6, 6)
    with pytest.raises(SolverError, match="in time"):
        by_pairs(slot, value, Deadline.after(0))
