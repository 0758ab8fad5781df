"""Goals: which one a user asks for, and how far a value is from its bound."""

from __future__ import annotations

import pytest

from swarmplan.core.objective import (
    GOALS,
    MEAN_RESPONSE,
    P95_RESPONSE,
    STEP,
    THROUGHPUT,
    Goal,
    Objective,
    goal_of,
)


def test_what_is_asked_for_names_a_goal() -> None:
    assert goal_of("response", "mean") == MEAN_RESPONSE
    assert goal_of("response", "p95") == P95_RESPONSE
    assert goal_of("latency", "p95") == STEP
    assert goal_of("throughput", "mean") == THROUGHPUT
    assert all(GOALS[goal.id] is goal for goal in GOALS.values())


@pytest.mark.parametrize(
    ("goal", "value", "bound", "gap"),
    [
        (STEP, 4.0, 3.0, 0.25),
        (THROUGHPUT, 4.0, 5.0, 0.25),
        (STEP, 4.0, 4.0 + 1e-12, 0.0),  # a bound that rounding put on the wrong side
        (THROUGHPUT, 4.0, 3.9, 0.0),
        (STEP, 0.0, 0.0, 0.0),
        (STEP, None, 3.0, None),
        (STEP, 4.0, None, None),
    ],
)
def test_the_gap_is_what_the_bound_leaves_relative_to_the_value(
    goal: Goal, value: float | None, bound: float | None, gap: float | None
) -> None:
    assert Objective(goal=goal, value=value, bound=bound).gap == gap
