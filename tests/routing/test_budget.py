"""Budgets over time: the golden queue, the two-option system, products of costs."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.routing.budget import Budget, Budgeted, least_product
from swarmplan.routing.pairs import Pairs
from swarmplan.routing.slot import WAIT, Slot, iterate
from swarmplan.tests.routing.random_slots import random_slot

SLOTS = 100_000


def golden(shared_data: Path, name: str) -> Any:
    return json.loads((shared_data / "golden" / "slot.json").read_text())[name]


def test_the_queue_is_what_was_spent_beyond_what_was_allowed(shared_data: Path) -> None:
    recorded = golden(shared_data, "drift_plus_penalty")["queue_after_uses"]
    budget, queue = Budget(allowed=0.5), []
    for use in recorded["uses"]:
        budget = budget.after(use)
        queue.append(budget.backlog)
    assert queue == recorded["queue"]


@pytest.mark.parametrize("weight", [1.0, 8.0, 64.0])
def test_the_cost_is_near_its_least_and_the_backlog_grows_with_the_weight(weight: float) -> None:
    """A request in 0.8 of the slots; A costs 1 and spends 1, B costs 3; 0.5 a slot are allowed."""
    budget, cost, backlog = Budget(allowed=0.5), 0.0, 0.0
    for arrives in (np.random.default_rng(0).random(SLOTS) < 0.8).tolist():
        spent = 0.0
        if arrives:
            spent = 1.0 if weight * 1.0 + budget.backlog <= weight * 3.0 else 0.0
            cost += 3.0 - 2.0 * spent
        backlog += budget.backlog
        budget = budget.after(spent)
    assert cost / SLOTS - 1.4 <= 1.0 / weight + 0.002
    assert 1.9 <= backlog / SLOTS / weight <= 2.2


#: What an option costs and spends.
Option = tuple[float, float]


def least_cost(options: list[Option], allowed: float) -> float:
    """The least mean cost of any mixture of options that spends no more than allowed on average."""
    within = [cost for cost, spent in options if spent <= allowed]
    mixed = [
        (a * (y - allowed) + b * (allowed - x)) / (y - x)
        for (a, x), (b, y) in itertools.product(options, repeat=2)
        if x < allowed < y
    ]
    return min(within + mixed)


@given(
    options=st.lists(st.tuples(st.floats(0, 9), st.floats(0, 3)), min_size=1, max_size=5),
    dearest=st.floats(0, 20),
    allowed=st.floats(0.1, 2.9),
    weight=st.floats(0.1, 64),
)
def test_the_gap_is_below_b_over_v_and_the_backlog_below_what_that_implies(
    options: list[Option], dearest: float, allowed: float, weight: float
) -> None:
    """Every slot has the same options, so the bounds hold to rounding; one spends nothing."""
    options = [*options, (dearest, 0.0)]
    budget, cost, backlog, slots = Budget(allowed=allowed), 0.0, 0.0, 400
    for _ in range(slots):
        taken, spent = min(options, key=lambda o: weight * o[0] + budget.backlog * o[1])
        cost, backlog = cost + taken, backlog + budget.backlog
        budget = budget.after(spent)
    b = max((spent - allowed) ** 2 for _, spent in options) / 2
    spread = max(c for c, _ in options) - min(c for c, _ in options)
    assert cost / slots - least_cost(options, allowed) <= b / weight + 1e-9
    assert backlog / slots <= (b + weight * spread) / allowed + 1e-9


def options() -> tuple[Slot, Pairs]:
    """The same two options as the chains of one request."""
    slot = Slot(uses=np.ones((1, 2, 1)), free=np.ones(1))
    zeros = np.zeros(1)
    return slot, Pairs(
        cost_s=np.array([[1.0, 3.0]]),
        wait_s=np.array([100.0]),
        blocks=np.ones((1, 2, 1)),
        steps=zeros,
        sigma_s=zeros,
        running=zeros,
        running_steps_blocks=zeros,
    )


@pytest.mark.parametrize(("backlog", "taken"), [(0.0, 0), (15.9, 0), (16.1, 1)])
def test_a_slot_turns_away_from_what_is_overdrawn(backlog: float, taken: int) -> None:
    slot, value = options()
    budget = Budget(allowed=0.5, backlog=backlog)
    priced = Budgeted(value=value, weight=8.0, prices=budget.backlog * np.array([[1.0, 0.0]]))
    assert iterate(slot, priced).choice.tolist() == [taken]
    assert priced(np.array([0])) == 8.0 + backlog
    assert priced(np.array([WAIT])) == 800.0


@given(seed=st.integers(0, 10**6))
def test_without_backlog_a_budget_changes_nothing(seed: int) -> None:
    slot, value = random_slot(seed)
    priced = Budgeted(value=value, weight=1.0, prices=np.zeros((5, 3)))
    assert iterate(slot, priced) == iterate(slot, value)


def test_a_product_is_found_by_linear_costs(shared_data: Path) -> None:
    recorded = golden(shared_data, "product_cost")
    asked = []

    def cheapest(per_time: float, per_share: float) -> tuple[int, float, float]:
        asked.append((per_time, per_share))
        costs = [per_time * t + per_share * a for t, a in recorded["chains"]]
        best = min(range(3), key=lambda i: (round(costs[i], 9), i))
        return best, *recorded["chains"][best]

    best, product = least_product(cheapest)
    assert best == recorded["best"]
    assert product == pytest.approx(recorded["products"][best])
    assert asked[:3] == [(1.0, 0.0), (1.0, 10), (1.3, 14)]


@given(chains=st.lists(st.tuples(st.floats(1, 99), st.floats(0, 9)), min_size=1, max_size=6))
def test_a_product_is_never_worse_than_that_of_the_fastest(
    chains: list[tuple[float, float]],
) -> None:
    def cheapest(per_time: float, per_share: float) -> tuple[int, float, float]:
        best = min(
            range(len(chains)), key=lambda i: per_time * chains[i][0] + per_share * chains[i][1]
        )
        return best, *chains[best]

    best, product = least_product(cheapest)
    fastest = min(chains, key=lambda c: c[0])
    assert product == chains[best][0] * (1 + chains[best][1])
    assert product <= fastest[0] * (1 + fastest[1])
