from __future__ import annotations

import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.perfmodel.catalogue import model_spec
from swarmplan.perfmodel.devices import device
from swarmplan.perfmodel.roofline import GPUS, data_sheet, gpu_names, roofline_timing
from swarmplan.perfmodel.timing import decode_s, prefill_s

MEASURED = {
    "A100-40GB/Llama-2-70B": "A100-40GB",
    "A100-SXM/Llama-3.1-8B": "A100-80GB",
    "A6000/Llama-3.1-8B": "A6000",
    "H100-SXM/Llama-3.1-8B": "H100-SXM",
    "H100/Llama-3.1-70B": "H100-SXM",
    "L4-24GB/Llama-2-70B": "L4",
    "L40S/Llama-3.1-8B": "L40S",
    "RTX3090/Llama-3.1-8B": "RTX3090",
    "RTX4090/Llama-3.1-8B": "RTX4090",
    "T4-16GB/Llama-2-70B": "T4",
    "V100-16GB/Llama-2-70B": "V100-16GB",
}


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_the_estimate_is_near_the_measured_profiles(name: str) -> None:
    measured = device(name)
    estimate = roofline_timing(model_spec(measured.model, "bf16"), MEASURED[name])
    decode = decode_s(estimate, 128) / decode_s(measured.timing, 128)
    prefill = prefill_s(estimate, 2048) / prefill_s(measured.timing, 2048)
    assert 1 / 1.3 < decode < 1.3
    assert 1 / 1.7 < prefill < 1.7


def test_published_petals_times_show_what_the_estimate_leaves_out() -> None:
    """4-bit weights in PETALS: the roofline is a lower bound, not a prediction."""
    model = model_spec("BLOOM-176B", "nf4")
    estimate = roofline_timing(model, "A100-80GB")
    published = device("BPRR-A100").timing
    assert decode_s(estimate, 128) < decode_s(published, 128)
    assert prefill_s(estimate, 128) < prefill_s(published, 128)


def test_prefill_is_flat_and_then_grows() -> None:
    timing = roofline_timing(model_spec("Llama-3.1-8B", "bf16"), "rtx4090")
    assert prefill_s(timing, 1) == prefill_s(timing, 16) == decode_s(timing, 0)
    assert prefill_s(timing, 4096) == pytest.approx(2 * prefill_s(timing, 2048))


def test_unknown_gpus_are_named() -> None:
    assert len(gpu_names()) == len(GPUS) >= 12
    assert data_sheet("l4").memory_bytes == 24_000_000_000
    with pytest.raises(ScenarioError, match=r"unknown GPU 'RTX3080'; did you mean RTX3090"):
        roofline_timing(model_spec("Llama-3.1-8B"), "RTX3080")
