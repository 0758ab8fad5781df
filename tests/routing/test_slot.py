"""The slot solver: golden slots, and what holds for every slot and every value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.content import IntArray
from swarmplan.routing.pairs import Pairs
from swarmplan.routing.slot import (
    WAIT,
    Assignment,
    Slot,
    iterate,
    marginal,
    one_by_one,
    put,
    remembered,
)
from swarmplan.tests.routing.random_slots import random_slot

SEEDS = st.integers(0, 10**6)


def golden_slots(shared_data: Path) -> list[tuple[dict[str, Any], Slot, Pairs]]:
    """(what is expected, slot, value) of every golden case."""
    cases = json.loads((shared_data / "golden" / "slot.json").read_text())["cases"]
    found = []
    for case in cases:
        given = {name: np.array(v, dtype=np.float64) for name, v in case["input"].items()}
        slot = Slot(uses=given.pop("uses"), free=given.pop("free"))
        found.append((case, slot, Pairs(**given)))
    return found


def waiting(slot: Slot) -> IntArray:
    """Nobody starts."""
    return np.full(slot.requests, WAIT, dtype=np.int64)


def test_golden_slots_are_decided_as_recorded(shared_data: Path) -> None:
    for case, slot, value in golden_slots(shared_data):
        found = {
            "greedy": one_by_one(slot, value),
            "damped_no_pairs": iterate(slot, value, exchanges=0),
            "damped_with_pairs": iterate(slot, value),
        }
        for name, assignment in found.items():
            assert assignment.choice.tolist() == case[name]["choice"], (case["name"], name)
            assert assignment.value_s == pytest.approx(case[name]["value_s"], abs=1e-9)
        trace = case["damped_with_pairs"]["values"]
        assert found["damped_with_pairs"].values == pytest.approx(trace, abs=1e-9)
        free = iterate(slot, value, waiting(slot)).value_s
        assert free == pytest.approx(case["from_all_waiting_value_s"], abs=1e-9)


@given(seed=SEEDS, start=st.integers(0, 2))
def test_the_value_never_rises_and_all_of_it_fits_and_ends(seed: int, start: int) -> None:
    slot, value = random_slot(seed)
    first = [None, waiting(slot), one_by_one(slot, value).choice][start]
    found = iterate(slot, value, first)
    assert slot.fits(found.choice)
    assert all(
        later <= before for before, later in zip(found.values, found.values[1:], strict=False)
    )
    assert found.values[-1] == found.value_s == value(found.choice)
    assert found.rounds >= 1
    assert found.values[-2] == found.values[-1]
    assert found.value_s <= one_by_one(slot, value).value_s or start == 1


@given(seed=SEEDS)
def test_equal_slots_are_decided_equally(seed: int) -> None:
    assert iterate(*random_slot(seed)) == iterate(*random_slot(seed))


@given(seed=SEEDS, weights=st.lists(st.integers(-3, 9), min_size=5, max_size=5))
def test_it_ends_whatever_the_value_is(seed: int, weights: list[int]) -> None:
    slot, _ = random_slot(seed)

    def value(choice: IntArray) -> float:  # no potential: whom a chain suits depends on all others
        mixed = [
            w * (int(p) + 2) * (int(choice.sum()) + 7) % 11
            for w, p in zip(weights, choice, strict=True)
        ]
        return float(sum(mixed))

    found = iterate(slot, value)
    assert slot.fits(found.choice)
    assert list(found.values) == sorted(found.values, reverse=True)


@given(seed=SEEDS)
def test_where_it_ends_nobody_gains_by_moving_alone(seed: int) -> None:
    slot, value = random_slot(seed)
    for exchanges in (0, 10_000):
        found = iterate(slot, value, exchanges=exchanges)
        for request in range(slot.requests):
            for other, cost in marginal(slot, value, found.choice, request):
                assert slot.fits(other)
                assert cost >= found.value_s - 1e-6


def test_exchanges_only_help() -> None:
    better = 0
    for seed in range(60):
        slot, value = random_slot(seed)
        alone, both = iterate(slot, value, exchanges=0), iterate(slot, value)
        assert both.value_s <= alone.value_s
        better += both.value_s < alone.value_s - 1e-6
    assert better > 10


def test_two_may_give_way_to_one_and_one_to_two() -> None:
    uses = np.array([[[2.0]], [[2.0]], [[4.0]]])
    value = Pairs(
        cost_s=np.array([[10.0], [10.0], [10.0]]),
        wait_s=np.array([20.0, 20.0, 90.0]),
        blocks=np.ones((3, 1, 1)),
        steps=np.ones(3),
        sigma_s=np.zeros(1),
        running=np.zeros(1),
        running_steps_blocks=np.zeros(1),
    )
    slot = Slot(uses=uses, free=np.array([4.0]))
    assert one_by_one(slot, value).choice.tolist() == [0, 0, WAIT]
    assert iterate(slot, value).choice.tolist() == [WAIT, WAIT, 0]
    assert iterate(slot, value, np.array([WAIT, WAIT, 0])).choice.tolist() == [WAIT, WAIT, 0]


def test_among_equals_waiting_comes_first_then_the_lowest_chain() -> None:
    value = Pairs(
        cost_s=np.array([[5.0, 5.0], [9.0, 9.0]]),
        wait_s=np.array([9.0, 9.0]),
        blocks=np.ones((2, 2, 1)),
        steps=np.ones(2),
        sigma_s=np.zeros(1),
        running=np.zeros(1),
        running_steps_blocks=np.zeros(1),
    )
    slot = Slot(uses=np.ones((2, 2, 1)), free=np.array([2.0]))
    assert one_by_one(slot, value).choice.tolist() == [0, WAIT]
    assert iterate(slot, value).choice.tolist() == [0, WAIT]


def test_without_overtaking_nobody_starts_behind_one_who_waits() -> None:
    slot, value = random_slot(3)
    large = Slot(uses=np.concatenate((slot.uses[:1] * 100, slot.uses[1:])), free=slot.free)
    kept = Slot(uses=np.concatenate((slot.uses[:1] + 1e9, slot.uses[1:])), free=slot.free)
    assert one_by_one(kept, value, overtake=False).choice.tolist() == [WAIT] * 5
    assert (one_by_one(large, value).choice[1:] != WAIT).any()


def test_chains_that_are_not_there_are_never_taken() -> None:
    slot, value = random_slot(1)
    uses = slot.uses.copy()
    uses[:, 1:] = np.inf
    found = iterate(Slot(uses=uses, free=slot.free * 100), value)
    assert set(found.choice.tolist()) <= {WAIT, 0}


def test_a_choice_is_put_beside_the_others() -> None:
    choice = np.array([0, 1, 2])
    assert put(choice, 1, WAIT).tolist() == [0, WAIT, 2]
    assert choice.tolist() == [0, 1, 2]
    assert Assignment(choice=choice, value_s=1.0, values=(3.0, 1.0, 1.0)).rounds == 2


@given(seed=SEEDS)
def test_a_value_that_is_remembered_is_worked_out_once_and_decides_the_same(seed: int) -> None:
    slot, value = random_slot(seed)
    asked: list[bytes] = []

    def counted(choice: IntArray) -> float:
        asked.append(choice.tobytes())
        return value(choice)

    found, plain = iterate(slot, remembered(counted)), iterate(slot, value)
    assert found.choice.tolist() == plain.choice.tolist()
    assert found.values == plain.values
    assert len(asked) == len(set(asked))
