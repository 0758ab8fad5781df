"""Waits from the times of own hops: what counts as a sample, and how long it is worth."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.swarm.hops import HALF_S, MEAN_S, HopWaits, Sample, Steps


def waited(wait_s: float) -> Sample:
    return Sample(wait_s=wait_s, explained_s=0.0, alone_s=0.1, work_s=0.08)


class Session:
    """Steps along A > B; the clock ticks a quarter of a second at each look."""

    def __init__(self) -> None:
        self.hops: list[tuple[str, float]] = []
        self.made = 0
        self.failing = ""
        ticks = itertools.count()
        self.steps = Steps(
            lambda peer, took_s: self.hops.append((peer, took_s)),
            self._made,
            clock=lambda: 0.25 * next(ticks),
        )
        self._step = self.steps.timed(self._run)

    def _made(self) -> None:
        self.made += 1

    def _run(self, inputs: Any, *, lost: bool = False) -> Any:
        for peer in "AB":
            if peer == self.failing:
                self.steps.failed()
            self.steps.passed(peer)
        if lost:
            raise OSError("no such peer")
        return inputs

    def step(self, tokens: int, **more: bool) -> list[tuple[str, float]]:
        """What was told of one step."""
        self.hops.clear()
        self._step(np.zeros((1, tokens, 2)), **more)
        return list(self.hops)


def test_hops_are_timed_one_after_another_in_steps_of_one_token_after_the_first() -> None:
    session = Session()
    assert session.steps.prompt_tokens == 0
    assert session.step(5) == []  # the prompt, and the opening
    assert session.step(1) == [("A", 0.25), ("B", 0.25)]
    assert session.step(7) == []
    assert session.step(1) == [("A", 0.25), ("B", 0.25)]
    assert session.steps.prompt_tokens == 5
    assert session.made == 4


def test_a_first_step_of_one_token_opens_the_session_all_the_same() -> None:
    session = Session()
    assert session.step(1) == []
    assert len(session.step(1)) == 2


def test_what_follows_a_hop_that_failed_is_no_sample_and_a_lost_step_none_at_all() -> None:
    session = Session()
    session.step(5)
    session.failing = "B"
    assert session.step(1) == [("A", 0.25)]
    session.failing = "A"
    assert session.step(1) == []
    session.failing = ""
    with pytest.raises(OSError, match="no such peer"):
        session.step(1, lost=True)
    assert session.made == 3


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
    mean, worth = waits.seen(29.9, 1000)["A"]
    assert mean.wait_s == pytest.approx(0.4, rel=0.01)
    assert mean.work_s == pytest.approx(0.08)
    assert worth == pytest.approx(1.0)


def test_an_estimate_fades_to_nothing_when_no_sample_is_fresh() -> None:
    waits = HopWaits()
    waits.add("A", waited(0.4), 0.0)
    assert waits.seen(HALF_S, 1000)["A"][1] == pytest.approx(0.5)
    assert waits.seen(2 * HALF_S, 1000)["A"][1] == pytest.approx(0.25)
    assert "A" not in waits.seen(6 * HALF_S, 1000)
    waits.add("A", waited(0.0), 6 * HALF_S)  # what was seen a minute ago hardly counts
    mean, worth = waits.seen(6 * HALF_S, 1000)["A"]
    assert mean.wait_s == pytest.approx(0.0, abs=1e-6)
    assert worth == 1.0


def test_what_is_seen_of_short_answers_fades_as_they_end() -> None:
    waits = HopWaits()
    waits.add("A", waited(0.4), 0.0)
    assert waits.seen(2.5, 10)["A"][1] == pytest.approx(0.5)  # five steps of half a second
    assert waits.seen(5.0, 10)["A"][1] == pytest.approx(0.25)
    assert waits.seen(HALF_S, 40)["A"][1] == pytest.approx(0.5)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(-1, 5)), min_size=1, max_size=30))
def test_a_mean_lies_between_its_samples_whatever_their_instants(
    given_samples: list[tuple[float, float]],
) -> None:
    waits = HopWaits()
    for at_s, wait_s in given_samples:
        waits.add("A", waited(wait_s), at_s)
    values = [w for _, w in given_samples]
    latest = max(at for at, _ in given_samples)
    mean, worth = waits.seen(latest, 1000)["A"]
    assert min(values) - 1e-9 <= mean.wait_s <= max(values) + 1e-9
    assert worth == 1.0
    assert MEAN_S > 0
