"""Block times as fields of a device, and back."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import COEFFICIENTS, Timing
from swarmplan.perfmodel.catalogue import model_spec
from swarmplan.perfmodel.devices import BlockTimes
from swarmplan.perfmodel.overhead import HopOverhead
from swarmplan.scenarios import schema
from swarmplan.scenarios.kinds import Kind, device_figures, rated_for

MODEL = model_spec("Llama-3.1-8B", "bf16")
SECONDS = st.floats(0, 1e-2)
CURVES = st.lists(st.integers(2, 64), max_size=6, unique=True).flatmap(
    lambda rows: st.lists(SECONDS, min_size=len(rows), max_size=len(rows)).map(
        lambda more: tuple(zip(map(float, sorted(rows)), sorted(more), strict=True))
    )
)
TIMINGS = st.builds(
    Timing,
    **{name: SECONDS for name in COEFFICIENTS if name != "prefill_per_token2_s"},
    prefill_per_token2_s=st.floats(0, 1e-6),
    step_curve=CURVES,
)


def made(times: BlockTimes) -> Timing:
    given_device = msgspec.convert(device_figures(times), schema.Device)
    timing = rated_for(Kind(base=(), given=given_device, memory_bytes=None), MODEL).timing
    assert isinstance(timing, Timing)
    return timing


@given(TIMINGS)
def test_a_timing_is_the_same_again_as_fields_of_a_device(timing: Timing) -> None:
    again = made(BlockTimes(timing=timing))
    for name in COEFFICIENTS:
        assert getattr(again, name) == pytest.approx(getattr(timing, name), rel=1e-9, abs=1e-15)
    assert [r for r, _ in again.step_curve] == [r for r, _ in timing.step_curve]
    for (_, one), (_, other) in zip(again.step_curve, timing.step_curve, strict=True):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12)


def test_the_work_of_a_task_goes_along() -> None:
    hop = HopOverhead(step_s=0.008, task_s=0.001, prefill_s=0.01, piece_s=0.002)
    fields = device_figures(BlockTimes(timing=Timing(decode_base_s=0.001), hop=hop))
    assert (fields["task_overhead_ms"], fields["piece_delay_ms"]) == (1.0, 2.0)
    assert "decode_ms_by_batch" not in fields
