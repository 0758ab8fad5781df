"""The two formulas of a block's compute time, for one timing and for columns of many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import Timing
from swarmplan.perfmodel.timing import Timings, decode_s, prefill_s


def test_prefill_is_flat_up_to_the_floor_then_linear() -> None:
    timing = Timing(
        decode_base_s=0.1, prefill_floor_s=0.5, prefill_base_s=0.1, prefill_per_token_s=0.01
    )
    assert prefill_s(timing, 1) == 0.5
    assert prefill_s(timing, 100) == pytest.approx(1.1)


def test_decode_grows_with_context_and_batch() -> None:
    timing = Timing(decode_base_s=0.1, decode_per_context_token_s=0.001, decode_per_sequence_s=0.02)
    assert decode_s(timing, 100) == pytest.approx(0.2)
    assert decode_s(timing, 100, batch=3) == pytest.approx(0.24)


@given(st.integers(0, 5_000), st.integers(1, 3_000))
def test_times_by_columns_are_those_of_every_server_alone(prompt: int, output: int) -> None:
    rng = np.random.default_rng(prompt)
    names = Timing.__slots__
    timings = [
        Timing(**dict(zip(names, rng.uniform(0, 0.1, len(names)), strict=True))) for _ in range(6)
    ]
    columns = Timings.of(timings)
    assert prefill_s(columns, prompt).tolist() == [prefill_s(t, prompt) for t in timings]
    context = output + 0.5
    assert decode_s(columns, context, 3).tolist() == [decode_s(t, context, 3) for t in timings]
