"""PETALS' retry instants."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.routing.waiting import LONGEST_PAUSE_S, pause_s, retry_instant_s

#: (raw wait, instant) of docs/model.md, online routing.
CHECKS = [(0, 0), (0.2, 1), (1.0, 1), (1.5, 3), (20, 31), (63, 63), (64, 123), (130, 183)]


@pytest.mark.parametrize(("raw", "instant"), CHECKS)
def test_a_wait_is_rounded_up_to_a_retry_instant(raw: float, instant: float) -> None:
    assert retry_instant_s(raw) == instant


def test_the_instants_are_the_sums_of_the_pauses() -> None:
    instants = list(itertools.accumulate(pause_s(tries) for tries in range(1, 40)))
    assert instants[:8] == [1, 3, 7, 15, 31, 63, 123, 183]
    assert [retry_instant_s(at) for at in instants] == instants
    assert max(pause_s(tries) for tries in range(1, 2_000)) == LONGEST_PAUSE_S


@given(st.floats(0.0, 1e6))
def test_no_earlier_instant_would_do(raw: float) -> None:
    instants = itertools.chain([0.0], itertools.accumulate(pause_s(k) for k in range(1, 20_000)))
    assert retry_instant_s(raw) == next(at for at in instants if at >= raw)


def test_a_wait_without_end_stays_without_end() -> None:
    assert retry_instant_s(math.inf) == math.inf


def test_nothing_to_wait_for_is_no_wait() -> None:
    assert retry_instant_s(-1.0) == 0.0
