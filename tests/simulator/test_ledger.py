"""Who holds which cache, and for how long, against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.plan import Hop
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.simulator.ledger import SAMPLES, Ledger

FIRST, SECOND = Hop(server=0, start=0, end=4), Hop(server=1, start=4, end=6)


@pytest.fixture
def ledger(tiny: Problem) -> Ledger:
    """Two servers with 2,000 bytes: 50 tokens on the first one's four blocks."""
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (4, 6), (0, 0), (0, 0)], cache_bytes=[2_000] * 4)
    return Ledger(cost, placement, span_s=10.0)


def test_a_session_that_still_runs_counts_until_the_end(ledger: Ledger) -> None:
    ledger.enter([FIRST, SECOND], 10, 1.0)  # 400 and 200 bytes
    ledger.leave([FIRST], 10, 3.0)
    ledger.grow([SECOND], 10, 5, 4.0)  # another 100 bytes
    # The first held 400 bytes for 2 s; the second 200 for 3 s and then 300 up to the end.
    assert ledger.used_byte_seconds(9.0).tolist() == [800.0, 600.0 + 300.0 * 5.0, 0.0, 0.0]
    assert ledger.used_byte_seconds(4.0).tolist() == [800.0, 600.0, 0.0, 0.0]
    # Asking changes nothing.
    assert ledger.used_byte_seconds(9.0).tolist() == [800.0, 2_100.0, 0.0, 0.0]


def test_use_and_its_peak_are_counted_server_by_server(ledger: Ledger) -> None:
    ledger.enter([FIRST, SECOND], 10, 0.0)
    ledger.enter([FIRST], 40, 1.0)
    ledger.leave([FIRST, SECOND], 10, 2.0)
    assert ledger.used_bytes == [1_600, 0, 0, 0]
    assert ledger.peak_bytes == [2_000, 200, 0, 0]
    assert ledger.sessions == [1, 0, 0, 0]


def test_what_fits_is_what_is_left_on_every_hop(ledger: Ledger) -> None:
    ledger.enter([FIRST], 30, 0.0)
    assert ledger.fits([FIRST, SECOND], 20)
    assert not ledger.fits([FIRST, SECOND], 21)
    assert ledger.fits([SECOND], 21)


@pytest.mark.parametrize("tokens", [51, -1])
def test_taking_more_than_there_is_stops_the_run(ledger: Ledger, tokens: int) -> None:
    with pytest.raises(AssertionError, match="server 0 would hold"):
        ledger.grow([FIRST], 0, tokens, 0.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 12)), min_size=1, max_size=4))
def test_byte_seconds_are_the_sum_over_the_sessions(
    tiny: Problem, sessions: list[tuple[float, int]]
) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (4, 6), (0, 0), (0, 0)], cache_bytes=[2_000] * 4)
    ledger = Ledger(cost, placement, span_s=10.0)
    for begin_s, tokens in sorted(sessions):
        ledger.enter([FIRST], tokens, begin_s)
    # The first to come leaves at 6 s, the others stay.
    ledger.leave([FIRST], min(sessions)[1], 6.0)
    held = [40 * tokens * (8.0 - begin_s) for begin_s, tokens in sorted(sessions)]
    held[0] -= 40 * min(sessions)[1] * 2.0
    assert ledger.used_byte_seconds(8.0)[0] == pytest.approx(sum(held), rel=1e-9, abs=1e-6)


def test_the_timeline_stays_short_and_shows_the_use_just_before(ledger: Ledger) -> None:
    for at in range(5 * SAMPLES):
        ledger.enter([FIRST], 10, at / 50)
        ledger.leave([FIRST], 10, at / 50 + 0.01)
    times, used = ledger.timeline()
    assert SAMPLES / 2 <= len(times) <= SAMPLES
    assert (np.diff(times) > 0).all()
    assert used.shape == (len(times), 4)
    assert set(used[:, 0].tolist()) <= {0, 400}
    assert used[0].tolist() == [0, 0, 0, 0]
