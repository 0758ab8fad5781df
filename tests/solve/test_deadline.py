"""Instants at which to stop."""

import math
import time

import pytest

from swarmplan.solve.deadline import Deadline


def test_without_a_limit_nothing_ends() -> None:
    never = Deadline.after(None)
    assert never.left_s() == math.inf
    assert not never.passed
    assert never.share(0.1) == never


def test_a_limit_passes_and_stays_passed() -> None:
    soon = Deadline.after(0.02)
    assert 0 < soon.left_s() <= 0.02
    time.sleep(0.03)
    assert soon.passed
    assert soon.left_s() < 0
    assert soon.share(0.5).left_s() <= 0


def test_a_share_is_one_of_what_is_left() -> None:
    whole = Deadline.after(100.0)
    assert whole.share(0.25).left_s() == pytest.approx(25.0, abs=1.0)
    assert whole.share(1.0).at_s == pytest.approx(whole.at_s)


def test_a_deadline_is_put_off_by_so_many_seconds_and_tells_what_was_asked_for() -> None:
    soon = Deadline.after(10.0)
    late = soon.later(5.0)
    assert late.at_s == soon.at_s + 5.0
    assert late.limit_s == 10.0
    assert Deadline().later(5.0) == Deadline()
