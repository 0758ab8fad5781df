"""Waits from the times of own hops: what counts as a sample, and how long it is worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.swarm.hops import HALF_S, MEAN_S, HopClock, HopWaits, Sample


def waited(wait_s: float) -> Sample:
    return Sample(wait_s=wait_s, explained_s=0.0, alone_s=0.1, work_s=0.08)


def test_hops_are_timed_one_after_another_in_steps_of_one_token_after_the_first() -> None:
    ticks = iter([10.0, 10.5, 10.75, 20.0, 20.25])
    clock = HopClock(lambda: next(ticks))
    clock.begin(5)
    assert clock.lap() is None  # the prompt, and the opening
    clock.begin(1)
    assert [clock.lap(), clock.lap()] == [0.5, 0.25]
    clock.begin(7)
    assert clock.lap() is None
    clock.begin(1)
    assert clock.lap() == 0.25
    clock.spoil()
    assert clock.lap() is None  # what is left of a step in which a hop failed


def test_a_first_step_of_one_token_opens_the_session_all_the_same() -> None:
    clock = HopClock()
    assert clock.lap() is None
    clock.begin(1)
    assert clock.lap() is None


def test_a_hop_alone_is_as_said_or_the_least_that_was_ever_seen() -> None:
    waits = HopWaits()
    assert waits.alone_s("A", took_s=0.3, said_s=0.1) == 0.1
    assert waits.alone_s("A", took_s=0.08, said_s=0.1) == 0.08
    assert waits.alone_s("A", took_s=0.3, said_s=0.1) == 0.08
    assert waits.alone_s("B", took_s=0.3, said_s=0.1) == 0.1


def test_the_mean_follows_what_was_seen_in_the_last_seconds() -> None:
    waits = HopWaits()
    for i in range(100):
        waits.add("A", waited(0.0), 0.1 * i)
    for i in range(100, 300):
        waits.add("A", waited(0.4), 0.1 * i)
    mean, worth = waits.seen(29.9)["A"]
    assert mean.wait_s == pytest.approx(0.4, rel=0.01)
    assert mean.work_s == pytest.approx(0.08)
    assert worth == pytest.approx(1.0)


def test_an_estimate_fades_to_nothing_when_no_sample_is_fresh() -> None:
    waits = HopWaits()
    waits.add("A", waited(0.4), 0.0)
    assert waits.seen(HALF_S)["A"][1] == pytest.approx(0.5)
    assert waits.seen(2 * HALF_S)["A"][1] == pytest.approx(0.25)
    assert "A" not in waits.seen(6 * HALF_S)
    waits.add("A", waited(0.0), 6 * HALF_S)  # what was seen a minute ago hardly counts
    mean, worth = waits.seen(6 * HALF_S)["A"]
    assert mean.wait_s == pytest.approx(0.0, abs=1e-6)
    assert worth == 1.0


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(-1, 5)), min_size=1, max_size=30))
def test_a_mean_lies_between_its_samples_whatever_their_instants(
    given_samples: list[tuple[float, float]],
) -> None:
    waits = HopWaits()
    for at_s, wait_s in given_samples:
        waits.add("A", waited(wait_s), at_s)
    values = [w for _, w in given_samples]
    latest = max(at for at, _ in given_samples)
    mean, worth = waits.seen(latest)["A"]
    assert min(values) - 1e-9 <= mean.wait_s <= max(values) + 1e-9
    assert worth == 1.0
    assert MEAN_S > 0
