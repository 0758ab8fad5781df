"""A server's own clock."""

from __future__ import annotations

from functools import partial

import pytest

from swarmplan.swarm.meter import MOST_TASKS, WINDOW_S, Meter


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def work(self, seconds: float) -> str:
        self.now_s += seconds
        return "done"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Meter:
    return Meter(clock)


def test_nothing_was_done_at_first(meter: Meter, clock: Clock) -> None:
    clock.now_s = 5.0
    assert meter.figures(8) == (0.0, None)


def test_busy_is_the_share_of_the_time_since_the_start_or_of_the_last_minute(
    meter: Meter, clock: Clock
) -> None:
    assert meter.around(lambda: clock.work(2.0), 0, 100, 8) == "done"
    clock.now_s = 10.0
    assert meter.figures(8)[0] == pytest.approx(0.2)
    clock.now_s = 30.0
    assert meter.figures(8)[0] == pytest.approx(2 / 30)
    clock.now_s = 2.0 + WINDOW_S + 1
    assert meter.figures(8) == (0.0, None)


def test_a_step_is_the_median_of_tasks_of_one_token_scaled_to_the_span(
    meter: Meter, clock: Clock
) -> None:
    meter.around(lambda: clock.work(5.0), 0, 200, 4)  # a prompt
    meter.around(lambda: clock.work(5.0), 0, 1, 4)  # opens a session
    meter.around(lambda: clock.work(5.0), 10, 4, 4)  # several tokens
    for seconds in (0.010, 0.012, 0.5):
        meter.around(partial(clock.work, seconds), 10, 1, 4)
    assert meter.figures(8)[1] == pytest.approx(0.024)


def test_of_very_many_tasks_the_last_ones_count(meter: Meter, clock: Clock) -> None:
    for _ in range(2 * MOST_TASKS):
        meter.around(lambda: clock.work(0.001), 10, 1, 4)
    busy, step_s = meter.figures(4)
    assert busy == pytest.approx(1.0, abs=0.01)
    assert step_s == pytest.approx(0.001)


def test_a_pass_of_several_sessions_is_work_and_no_step(meter: Meter, clock: Clock) -> None:
    assert (
        meter.around_pass(lambda: clock.work(3.0), [(5, frozenset()), (9, frozenset())]) == "done"
    )
    clock.now_s = 6.0
    busy, step_s = meter.figures(8)
    assert (busy, step_s) == (0.5, None)
