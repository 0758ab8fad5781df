from __future__ import annotations

import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.core.problem import ModelSpec
from swarmplan.perfmodel.catalogue import model_spec
from swarmplan.perfmodel.devices import device
from swarmplan.perfmodel.roofline import (
    GPUS,
    data_sheet,
    gpu_names,
    roofline_timing,
    sheet_of_device,
)
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
def test_reading_and_arithmetic_are_near_profiles_of_other_runtimes(name: str) -> None:
    """They launch in graphs and fuse attention, so that only these two terms can be compared."""
    measured = device(name)
    estimate = roofline_timing(model_spec(measured.model, "bf16"), MEASURED[name])
    decode = estimate.decode_base_s / decode_s(measured.timing, 128)
    prefill = 2048 * estimate.prefill_per_token_s / prefill_s(measured.timing, 2048)
    assert 1 / 1.3 < decode < 1.3
    assert 1 / 1.7 < prefill < 1.7
    assert decode_s(estimate, 128) > 0.9 * decode_s(measured.timing, 128)


@pytest.mark.parametrize(
    ("profile", "gpu"), [("BPRR-A100", "A100-80GB"), ("BPRR-MIG-1g", "A100-80GB-MIG-1g")]
)
def test_published_steps_of_petals_are_met_within_thirty_per_cent(profile: str, gpu: str) -> None:
    """BLOOM-176B at 4 bits; nothing of these GPUs entered the estimate."""
    estimate = roofline_timing(model_spec("BLOOM-176B", "nf4"), gpu)
    published = decode_s(device(profile).timing, 128)
    assert decode_s(estimate, 128) == pytest.approx(published, rel=0.3)


@pytest.mark.parametrize(
    ("gpu", "inference_rps", "forward_rps"),
    [("A100-80GB", 710.3, 61_680.6), ("H100-PCIe", 728.4, 93_138.6)],
)
def test_rates_that_petals_developers_measured_are_met_within_forty_per_cent(
    gpu: str, inference_rps: float, forward_rps: float
) -> None:
    """Falcon-40B at 4 bits (petals pull request 499)."""
    estimate = roofline_timing(model_spec("Falcon-40B", "nf4"), gpu)
    assert 1 / decode_s(estimate, 50) == pytest.approx(inference_rps, rel=0.4)
    assert 1024 / prefill_s(estimate, 1024) == pytest.approx(forward_rps, rel=0.4)


def seven(precision: str) -> ModelSpec:
    """Llama-2-7B: no heads share keys."""
    size = int(202_383_360 * {"bf16": 2.0, "int8": 1.0, "nf4": 4.25 / 8}[precision] * 1.01)
    return ModelSpec(
        name="Llama-2-7B",
        num_blocks=32,
        hidden_size=4096,
        block_bytes=size,
        cache_bytes_per_token=16_384,
        activation_bytes_per_token=8_192,
        quantisation=precision,
    )


@pytest.mark.parametrize(
    ("model", "gpu", "ms"),
    [
        (seven("bf16"), "A10", 37 / 32),
        (seven("int8"), "A10", 164 / 32),
        (seven("nf4"), "A10", 42 / 32),
        (seven("bf16"), "RTX3090", 32.89 / 32),
        (seven("int8"), "RTX3090", 154.55 / 32),
        (model_spec("BLOOM-176B", "bf16"), "A100-80GB", 230.38 / 70),
        (model_spec("BLOOM-176B", "int8"), "A100-80GB", 286.56 / 70),
    ],
)
def test_published_steps_of_eager_blocks_are_met_within_a_fifth(
    model: ModelSpec, gpu: str, ms: float
) -> None:
    """Hugging Face on cards that nothing was fitted to; sources in docs/perfmodel.md."""
    assert decode_s(roofline_timing(model, gpu), 100) * 1e3 == pytest.approx(ms, rel=0.2)


def test_prefill_is_flat_then_grows_with_arithmetic_and_with_attention_to_itself() -> None:
    timing = roofline_timing(model_spec("Llama-3.1-8B", "bf16"), "rtx4090")
    assert prefill_s(timing, 1) == decode_s(timing, 0)
    assert prefill_s(timing, 64) == prefill_s(timing, 96) == timing.prefill_floor_s
    line = timing.prefill_per_token_s * 4096 + timing.prefill_per_token2_s * 4096**2
    assert prefill_s(timing, 4096) == pytest.approx(line)


@pytest.mark.parametrize(
    ("driver", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "H100-SXM"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB"),
        ("NVIDIA A100 80GB PCIe MIG 1g.10gb", "A100-80GB-MIG-1g"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L4", "L4"),
        ("Tesla T4", "T4"),
        ("rtx4090", "RTX4090"),
    ],
)
def test_drivers_names_are_understood(driver: str, name: str) -> None:
    assert sheet_of_device(driver) is GPUS[name]
    assert sheet_of_device("cpu") is None


def test_unknown_gpus_are_named() -> None:
    assert len(gpu_names()) == len(GPUS) >= 12
    assert data_sheet("l4").memory_bytes == 24_000_000_000
    with pytest.raises(ScenarioError, match=r"unknown GPU 'RTX3080'; did you mean RTX3090"):
        roofline_timing(model_spec("Llama-3.1-8B"), "RTX3080")
