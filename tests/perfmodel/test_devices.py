from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.core.problem import Timing
from swarmplan.perfmodel.catalogue import model_spec
from swarmplan.perfmodel.devices import (
    device,
    device_names,
    devices_named,
    scaled_timing,
    timing_for,
)
from swarmplan.perfmodel.roofline import roofline_timing
from swarmplan.perfmodel.timing import decode_s, prefill_s

ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_profiles_come_from_the_script(shared_data: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "derive_profiles", ROOT / "benchmarks" / "derive_profiles.py"
    )
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    shipped = (ROOT / "perfmodel" / "profiles" / "devices.json").read_text(encoding="utf-8")
    assert script.main(shared_data / "gpu") == shipped
    constants = (ROOT / "perfmodel" / "profiles" / "kernels.json").read_text(encoding="utf-8")
    assert script.kernels(shared_data / "gpu") == constants


def test_profiles_are_sorted_and_say_where_they_come_from() -> None:
    names = device_names()
    assert list(names) == sorted(names)
    assert len(names) == len(set(names)) > 20
    for name in names:
        profile = device(name)
        assert profile.source
        assert profile.memory_bytes > 8e9
        assert 0 < decode_s(profile.timing, 1024) < prefill_s(profile.timing, 2048)
        assert (profile.fit_mean_error_percent or 0) <= (profile.fit_max_error_percent or 0)


def test_published_constants_are_exact() -> None:
    big, small = device("BPRR-A100"), device("bprr-mig-1g")
    assert big.timing.decode_base_s == pytest.approx(3.2197e-3, rel=1e-15)
    assert prefill_s(big.timing, 20) == pytest.approx(34.476e-3, rel=1e-15)
    assert prefill_s(small.timing, 20) == pytest.approx(208.4367e-3, rel=1e-15)
    assert (big.memory_bytes, small.memory_bytes) == (79_130_000_000, 8_200_000_000)
    assert big.forward_rps == 20829.38146541331
    assert small.network_rps == 3138.1039624670034


def test_a_short_name_is_enough_where_it_is_unique() -> None:
    assert device("rtx4090") is device("RTX4090/Llama-3.1-8B")
    assert device("h100-80gb/llama-3.1-70b/NF4").precision == "nf4"
    with pytest.raises(ScenarioError, match=r"say which model.*H100/Llama-3\.1-70B"):
        device("H100")
    with pytest.raises(ScenarioError, match=r"unknown device 'RTX4091'; did you mean RTX4090"):
        device("RTX4091")


def test_a_gpus_name_stands_for_all_that_was_measured_on_it() -> None:
    kinds = {(d.model, d.precision) for d in devices_named("H100-80GB")}
    assert {("Llama-3.1-70B", "bf16"), ("Llama-3.1-70B", "int8"), ("BLOOM-176B", "nf4")} <= kinds
    assert all(d.name.startswith("H100-80GB/") for d in devices_named("h100-80gb"))
    assert len(devices_named("H100-80GB/Llama-3.1-70B")) == 3


def test_a_gpu_that_nobody_measured_is_known_by_its_data_sheet() -> None:
    (h200,) = devices_named("h200")
    assert h200.memory_bytes == 141_000_000_000
    for precision in ("bf16", "int8", "nf4"):
        model = model_spec("Llama-3.1-70B", precision)
        rated = timing_for((h200,), model)
        assert rated.timing == roofline_timing(model, "H200")
        assert rated.validity.origin == "estimated"
        assert "H200" in rated.validity.remark


def test_the_measured_model_keeps_its_timing() -> None:
    for name, model, precision in (
        ("RTX4090", "Llama-3.1-8B", "bf16"),
        ("BPRR-A100", "BLOOM-176B", "nf4"),
        ("H100-80GB/Llama-3.1-70B/int8", "Llama-3.1-70B", "int8"),
    ):
        profile = device(name)
        scaled = scaled_timing(profile, model_spec(model, precision))
        assert scaled.decode_base_s == profile.timing.decode_base_s
        assert scaled.prefill_per_token_s == profile.timing.prefill_per_token_s
        of_all = devices_named(name.partition("/")[0])
        rated = timing_for(of_all, model_spec(model, precision))
        assert (rated.timing, rated.device) == (profile.timing, profile)
        assert rated.validity.origin == "measured"
        assert profile.source in rated.validity.remark


def test_bigger_blocks_of_other_runtimes_take_longer_in_proportion() -> None:
    profile = device("RTX4090")
    small, large = model_spec("Llama-3.1-8B", "bf16"), model_spec("Llama-3.1-70B", "bf16")
    ratio = (large.whole_bytes / large.num_blocks) / (small.whole_bytes / small.num_blocks)
    rated = timing_for([profile], large)
    assert rated.validity.origin == "scaled"
    assert "Llama-3.1-8B" in rated.validity.remark
    timing = rated.timing
    assert decode_s(timing, 0) == pytest.approx(ratio * decode_s(profile.timing, 0))
    assert prefill_s(timing, 2048) == pytest.approx(ratio * prefill_s(profile.timing, 2048))


def test_nothing_is_scaled_from_one_precision_to_another() -> None:
    """4-bit blocks on a card that was measured at 16 bits: another kernel, so an estimate."""
    four = model_spec("Llama-3.1-70B", "nf4")
    rated = timing_for([device("RTX4090")], four)
    assert rated.timing == roofline_timing(four, "RTX4090")
    assert rated.validity.origin == "estimated"
    assert rated.device is None
    sixteen = timing_for([device("RTX4090")], model_spec("Llama-3.1-70B", "bf16")).timing
    assert decode_s(rated.timing, 0) > 0.3 * decode_s(sixteen, 0)  # by bytes it would be 0.27
    measured = device("H100-80GB/Llama-3.1-70B/nf4").timing
    assert decode_s(rated.timing, 0) > 0.5 * decode_s(measured, 0)
    unknown = replace(device("RTX4090"), gpu="")
    with pytest.raises(ScenarioError, match=r"RTX4090/\S+ was measured at bf16, not at nf4"):
        timing_for([unknown], four)


def test_two_gpus_together_have_the_figures_of_both() -> None:
    four = model_spec("Llama-2-70B", "nf4")
    one, two = (
        timing_for([device(n)], four).timing
        for n in ("L4-24GB/Llama-2-70B", "L4-24GBx2/Llama-2-70B")
    )
    assert two.decode_base_s == pytest.approx(one.decode_base_s / 2)
    assert two.decode_floor_s == one.decode_floor_s


@pytest.mark.parametrize("precision", ["bf16", "nf4"])
def test_petals_blocks_scale_to_another_measured_model(precision: str) -> None:
    """H100, from 70B to 405B: launches do not grow, the rest by what binds it."""
    others = [d for d in devices_named("H100-80GB") if d.model == "Llama-3.1-70B"]
    model = model_spec("Llama-3.1-405B", precision)
    rated = timing_for(others, model)
    assert rated.validity.origin == "scaled"
    measured = device(f"H100-80GB/Llama-3.1-405B/{precision}").timing
    for context in (1, 2048, 8192):
        wanted = decode_s(measured, context)
        assert decode_s(rated.timing, context) == pytest.approx(wanted, rel=0.35)
    for prompt in (128, 1024, 2048):
        wanted = prefill_s(measured, prompt)
        assert prefill_s(rated.timing, prompt) == pytest.approx(wanted, rel=0.35)


def test_small_blocks_in_petals_are_bound_by_launches_that_large_ones_hid() -> None:
    """BLOOM's step on an A100 is 3.2 ms; by bytes one of Llama-3.1-8B would take 0.28 ms."""
    model = model_spec("Llama-3.1-8B", "nf4")
    timing = timing_for([device("BPRR-A100")], model).timing
    assert decode_s(timing, 0) == timing.decode_floor_s > 1e-3
    measured = decode_s(device("H100-80GB/Llama-3.1-8B/nf4").timing, 0)
    assert decode_s(timing, 0) == pytest.approx(measured, rel=0.5)


def test_each_term_of_other_runtimes_grows_with_what_binds_it() -> None:
    """Measured on blocks of half the bytes, a quarter of the cache, an eighth of the parameters."""
    own, blocks = device("RTX4090"), model_spec("Llama-3.1-8B", "bf16")
    smaller = replace(
        own,
        block_bytes=own.block_bytes // 2,
        cache_bytes_per_token=own.cache_bytes_per_token // 4,
        block_parameters=own.block_parameters // 8,
        timing=Timing(
            decode_base_s=1.0,
            decode_per_context_token_s=1.0,
            decode_per_sequence_s=1.0,
            step_curve=((2.0, 1.0),),
            prefill_floor_s=1.0,
            prefill_base_s=1.0,
            prefill_per_token_s=1.0,
            prefill_per_token2_s=1.0,
        ),
    )
    assert scaled_timing(smaller, blocks) == Timing(
        decode_base_s=2.0,
        decode_per_context_token_s=4.0,
        decode_per_sequence_s=8.0,
        step_curve=((2.0, 8.0),),
        prefill_floor_s=2.0,
        prefill_base_s=8.0,
        prefill_per_token_s=8.0,
        prefill_per_token2_s=4.0,
    )


def test_scaling_predicts_a_measured_larger_model_within_a_quarter() -> None:
    """H100: from Llama-3.1-8B to 70B, both measured by the same source."""
    small, large = device("H100/Llama-3.1-8B"), device("H100/Llama-3.1-70B")
    timing = scaled_timing(small, model_spec("Llama-3.1-70B", "bf16"))
    for tokens in (1024, 2048):
        assert prefill_s(timing, tokens) == pytest.approx(prefill_s(large.timing, tokens), rel=0.25)


def test_the_documented_table_lists_every_profile() -> None:
    text = (ROOT / "docs" / "perfmodel.md").read_text(encoding="utf-8")
    for name in device_names():
        assert f"| `{name}` | {device(name).precision} | " in text
        assert f"| {device(name).timing.decode_base_s * 1e3:.4g} |" in text
