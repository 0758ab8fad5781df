"""The two formulas of a block's compute time, for one timing and for columns of many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import COEFFICIENTS, Timing
from swarmplan.perfmodel.timing import (
    Timings,
    decode_s,
    more_s,
    picked,
    prefill_s,
    step_s,
    timing_ms,
    timing_of,
)


def test_prefill_is_flat_up_to_the_floor_then_linear() -> None:
    timing = Timing(
        decode_base_s=0.1, prefill_floor_s=0.5, prefill_base_s=0.1, prefill_per_token_s=0.01
    )
    assert prefill_s(timing, 1) == 0.5
    assert prefill_s(timing, 100) == pytest.approx(1.1)


def test_a_prompt_within_the_curve_is_no_slower_than_a_step_of_as_many_rows() -> None:
    timing = Timing(
        decode_base_s=0.1,
        step_curve=((8.0, 0.2),),
        decode_per_sequence_s=0.001,
        prefill_floor_s=0.5,
        prefill_per_token_s=0.05,
    )
    found = [prefill_s(timing, tokens) for tokens in (1, 8, 9, 20)]
    assert found == pytest.approx([0.1, 0.3, 0.5, 1.0])
    without = Timing(decode_base_s=0.1, prefill_floor_s=0.5)
    columns = Timings.of([timing, without])
    for tokens in (1, 8, 9):
        assert prefill_s(columns, tokens).tolist() == [
            prefill_s(t, tokens) for t in (timing, without)
        ]


def test_decode_grows_with_context_and_batch() -> None:
    timing = Timing(decode_base_s=0.1, decode_per_context_token_s=0.001, decode_per_sequence_s=0.02)
    assert decode_s(timing, 100) == pytest.approx(0.2)
    assert decode_s(timing, 100, batch=3) == pytest.approx(0.24)


@given(st.integers(0, 5_000), st.integers(1, 3_000))
def test_times_by_columns_are_those_of_every_server_alone(prompt: int, output: int) -> None:
    rng = np.random.default_rng(prompt)
    timings = [
        timing_of({name.removesuffix("_s"): rng.uniform(0, 100.0) for name in COEFFICIENTS})
        for _ in range(6)
    ]
    columns = Timings.of(timings)
    assert prefill_s(columns, prompt).tolist() == [prefill_s(t, prompt) for t in timings]
    context = output + 0.5
    assert step_s(columns, context).tolist() == [step_s(t, context) for t in timings]


def test_what_no_column_tells_is_asked_for_once_for_each_kind() -> None:
    near, far = Timing(decode_base_s=1.0), Timing(decode_base_s=2.0)
    asked: list[Timing] = []

    def doubled_s(timing: Timing) -> float:
        asked.append(timing)
        return 2 * timing.decode_base_s

    assert Timings.of([near, far, near, far]).each(doubled_s).tolist() == [2.0, 4.0, 2.0, 4.0]
    assert asked == [near, far]


CURVE = Timing(
    decode_base_s=0.1, decode_per_sequence_s=0.25, step_curve=((3.0, 0.5), (4.0, 0.5), (8.0, 0.75))
)


@pytest.mark.parametrize(
    ("rows", "more"), [(1, 0.0), (2, 0.25), (3, 0.5), (3.5, 0.5), (6, 0.625), (8, 0.75), (10, 1.25)]
)
def test_a_curve_is_linear_between_its_knots_and_beyond_them(rows: float, more: float) -> None:
    assert more_s(CURVE, rows) == more
    assert decode_s(CURVE, 100, batch=rows) == 0.1 + more
    assert decode_s(CURVE, 100, batch=0.5, new=2 * rows) == 0.1 + more


@pytest.mark.parametrize(
    "curve",
    [((1.0, 0.0),), ((3.0, 0.1), (2.0, 0.1)), ((2.0, -0.1),), ((2.0, float("nan")),)],
)
def test_a_curve_that_is_none_is_refused(curve: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="step_curve"):
        Timing(decode_base_s=1.0, step_curve=curve)


def test_the_worst_of_some_timings_is_the_worst_at_every_knot() -> None:
    other = Timing(decode_base_s=0.05, decode_per_sequence_s=0.125, step_curve=((2.0, 0.375),))
    worst, best = picked((CURVE, other), max), picked((CURVE, other), min)
    for rows in (2.0, 3.0, 4.0, 8.0):
        assert more_s(worst, rows) == max(more_s(CURVE, rows), more_s(other, rows))
        assert more_s(best, rows) == min(more_s(CURVE, rows), more_s(other, rows))
    assert (worst.decode_base_s, best.decode_base_s) == (0.1, 0.05)


def test_files_keep_a_timing_in_milliseconds() -> None:
    document = timing_ms(CURVE)
    assert document["step_curve"] == [[3.0, 500.0], [4.0, 500.0], [8.0, 750.0]]
    assert timing_of(document) == CURVE
    assert "step_curve" not in timing_ms(Timing(decode_base_s=1.0))
