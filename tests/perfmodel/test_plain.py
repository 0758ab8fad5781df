"""Plain costs against the runs that they are made of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.perfmodel.plain import NO_BOUND, most_within, plain, plain_heaviest, run_of
from swarmplan.perfmodel.runs import Runs


def drawn(seed: int, *, alike: bool) -> Runs:
    blocks = np.random.default_rng(seed).integers(1, 9, (3, 6))
    return Runs.of(blocks[:, :1].repeat(6, axis=1) if alike else blocks, np.int64)


@pytest.mark.parametrize("alike", [True, False], ids=["alike", "uneven"])
@given(seed=st.integers(0, 2**32 - 1))
def test_a_run_costs_the_same(seed: int, alike: bool) -> None:
    runs = drawn(seed, alike=alike)
    costs = plain(runs, np.int64)
    for start in range(6):
        for end in range(start, 7):
            wanted = [runs(j, start, end) for j in range(3)]
            assert [run_of(costs, j, start, end) for j in range(3)] == wanted


@pytest.mark.parametrize("alike", [True, False], ids=["alike", "uneven"])
@given(seed=st.integers(0, 2**32 - 1), limit=st.integers(-3, 40))
def test_so_many_blocks_cost_no_more_wherever_they_lie(seed: int, limit: int, alike: bool) -> None:
    runs = drawn(seed, alike=alike)
    for j in range(3):
        most = most_within(plain_heaviest(runs, np.int64), j, limit)
        fit = [
            all(runs(j, b, b + k) <= limit for b in range(7 - k)) for k in range(min(most, 6) + 1)
        ]
        assert all(fit)
        if 0 <= most < 6:
            assert any(runs(j, b, b + most + 1) > limit for b in range(6 - most))


def test_what_costs_nothing_has_no_bound() -> None:
    runs = Runs.of(np.zeros((1, 4)), np.int64)
    assert most_within(plain(runs, np.int64), 0, 0) == NO_BOUND
