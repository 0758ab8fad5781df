"""What kernels of PETALS blocks take: every term by its own formula, against measured blocks."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from swarmplan.core.blocks import Block
from swarmplan.core.problem import ModelSpec
from swarmplan.perfmodel.catalogue import model_spec
from swarmplan.perfmodel.devices import device, devices_named
from swarmplan.perfmodel.kernelfit import Point, fit_kernels, point_s, timings_of
from swarmplan.perfmodel.kernels import (
    DataSheet,
    block_timing,
    estimated_timing,
    kernels_document,
    launch_s,
    petals_kernels,
)
from swarmplan.perfmodel.near import fit_near
from swarmplan.perfmodel.roofline import GPUS
from swarmplan.perfmodel.shape import shape_of
from swarmplan.perfmodel.timing import decode_s, more_s, prefill_s

H100 = GPUS["H100-SXM"]
KERNELS = petals_kernels()
DENSE, MIXTURE = shape_of(model_spec("Llama-3.1-8B")), shape_of(model_spec("Mixtral-8x7B"))


def test_a_block_has_the_layers_experts_and_attention_of_its_configuration() -> None:
    assert (DENSE.linears, DENSE.experts, DENSE.heads) == (7, 0, 32)
    assert shape_of(model_spec("BLOOM-176B")).linears == 4
    assert (MIXTURE.linears, MIXTURE.expert_linears, MIXTURE.experts, MIXTURE.active) == (
        5,
        3,
        8,
        2,
    )
    assert MIXTURE.read(8) == 1_451_270_144
    qwen = shape_of(model_spec("Qwen3-235B-A22B"))
    assert (qwen.experts, qwen.active, qwen.heads * 128 * 4) == (128, 8, qwen.wide_bytes)
    # Keys shared by heads are copied out for every head; without sharing there is nothing to copy.
    assert DENSE.attention_bytes == 3 * 4096 + 2 * 16384
    assert shape_of(model_spec("BLOOM-176B")).attention_bytes == 3 * 57344


def test_a_model_that_is_in_no_catalogue_is_taken_for_a_dense_llama() -> None:
    spec = ModelSpec(
        name="mine", num_blocks=4, hidden_size=4096, block_bytes=int(218e6 * 2 * 1.01),
        cache_bytes_per_token=4096, activation_bytes_per_token=8192,
    )  # fmt: skip
    shape = shape_of(spec)
    assert shape.read(0) == pytest.approx(218e6, rel=1e-6)
    assert (shape.heads, shape.wide_bytes, shape.linears) == (32, 16384, 7)
    four = replace(spec, block_bytes=int(218e6 * 4.25 / 8 * 1.01), quantisation="nf4")
    assert shape_of(four).read(0) == pytest.approx(218e6, rel=1e-6)


def test_more_rows_visit_more_experts_up_to_all() -> None:
    assert [MIXTURE.visited(rows) for rows in (1, 2)] == pytest.approx([2, 3.5])
    assert MIXTURE.visited(128) == pytest.approx(8)
    assert DENSE.visited(100) == 0


def test_launches_count_blocks_layers_and_experts_but_not_bytes() -> None:
    one = KERNELS.block_launch_s + 7 * KERNELS.bf16_launch_s
    assert launch_s(DENSE, "bf16", 1, KERNELS) == pytest.approx(one)
    large = shape_of(model_spec("Llama-3.1-405B"))
    assert launch_s(large, "bf16", 1, KERNELS) == pytest.approx(one)
    mixed = KERNELS.block_launch_s + 2 * KERNELS.expert_launch_s + 11 * KERNELS.nf4_launch_s
    assert launch_s(MIXTURE, "nf4", 1, KERNELS) == pytest.approx(mixed)
    many = KERNELS.block_launch_s + 7 * KERNELS.int8_rows_launch_s
    assert launch_s(DENSE, "int8", 128, KERNELS) == pytest.approx(many)
    slow = launch_s(DENSE, "int8", 1, KERNELS.on_host(1.5 * KERNELS.dense_launch_s))
    assert slow == pytest.approx(1.5 * launch_s(DENSE, "int8", 1, KERNELS))


def test_terms_follow_bandwidth_or_arithmetic_alone() -> None:
    wide = DataSheet(
        memory_bytes=1, bandwidth_bytes_per_s=2 * H100.bandwidth_bytes_per_s, flops_per_s=989e12
    )
    quick = replace(H100, flops_per_s=2 * H100.flops_per_s)
    for precision in ("bf16", "int8", "nf4"):
        own, by_reading, by_counting = (
            block_timing(DENSE, precision, sheet, KERNELS) for sheet in (H100, wide, quick)
        )
        for name in ("decode_per_context_token_s", "prefill_per_token2_s"):
            assert getattr(by_reading, name) == pytest.approx(getattr(own, name) / 2)
            assert getattr(by_counting, name) == getattr(own, name)
        waited = launch_s(DENSE, precision, 1, KERNELS) if precision == "int8" else 0.0
        reading = own.decode_base_s - waited
        assert by_reading.decode_base_s == pytest.approx(waited + reading / 2)
        assert by_counting.prefill_per_token_s == pytest.approx(own.prefill_per_token_s / 2)
        assert by_reading.prefill_per_token_s == own.prefill_per_token_s
        assert by_reading.decode_floor_s == by_counting.decode_floor_s == own.decode_floor_s
        if precision == "int8":
            many = launch_s(DENSE, "int8", 128, KERNELS)
            assert own.prefill_base_s == by_reading.prefill_base_s == pytest.approx(many)
        else:
            assert by_reading.prefill_base_s == pytest.approx(own.prefill_base_s / 2)
            assert (own.prefill_base_s > 0) == (precision == "nf4")


def test_launches_of_layers_that_wait_do_not_overlap_with_work() -> None:
    timing = estimated_timing(model_spec("BLOOM-176B", "int8"), H100)
    launched = launch_s(shape_of(model_spec("BLOOM-176B")), "int8", 1, KERNELS)
    assert timing.decode_floor_s == 0
    assert decode_s(timing, 0) > launched + 0.5e-3
    sixteen = estimated_timing(model_spec("BLOOM-176B", "bf16"), H100)
    assert decode_s(sixteen, 0) == sixteen.decode_base_s > sixteen.decode_floor_s > 0


def test_four_bit_steps_of_many_rows_read_twice_as_long() -> None:
    timing = estimated_timing(model_spec("Llama-3.1-405B", "nf4"), H100)
    step = decode_s(timing, 0)
    assert more_s(timing, 4) == pytest.approx(step, rel=0.01)
    assert more_s(timing, 2) == pytest.approx(step / 2, rel=0.01)
    assert more_s(timing, 32) == pytest.approx(step, rel=0.01)
    assert more_s(estimated_timing(model_spec("Llama-3.1-405B", "bf16"), H100), 32) == 0


def test_the_formula_meets_the_shipped_profiles_it_was_fitted_to() -> None:
    errors = [
        abs(decode_s(estimated_timing(model_spec(d.model, d.precision), H100), context)
            / decode_s(d.timing, context) - 1)
        for d in devices_named("H100-80GB")
        for context in (1, 2048, 8192)
    ]  # fmt: skip
    assert np.median(errors) < 0.12
    assert max(errors) < 0.45


def test_small_blocks_take_as_long_as_large_ones_and_quantised_ones_longer() -> None:
    """What scaling by bytes got wrong: H100, one token."""
    ms = {(d.model, d.precision): decode_s(d.timing, 512) * 1e3 for d in devices_named("H100-80GB")}
    assert ms["Llama-3.1-8B", "bf16"] > 0.7 * ms["Llama-3.1-70B", "bf16"]
    assert ms["Llama-3.1-70B", "nf4"] > 1.5 * ms["Llama-3.1-70B", "bf16"]
    assert ms["Llama-3.1-70B", "int8"] > 4 * ms["Llama-3.1-70B", "bf16"]
    assert ms["Llama-3.1-405B", "nf4"] < ms["Llama-3.1-405B", "bf16"]
    four, sixteen = (device(f"H100-80GB/BLOOM-176B/{q}").timing for q in ("nf4", "bf16"))
    unpacking = prefill_s(four, 1024) - prefill_s(sixteen, 1024)
    assert 2e-3 < unpacking < 4e-3


def test_constants_are_found_again_from_rows_that_they_made() -> None:
    true = replace(
        KERNELS.on_host(1.3 * KERNELS.dense_launch_s),
        nf4_read=0.2,
        compute=0.5,
        attention_read=0.4,
        pair_read=0.6,
    )
    names = ("Llama-3.1-8B", "Llama-3.1-405B", "BLOOM-176B", "Mixtral-8x7B")
    points = [
        Point(shape=shape, precision=precision, prompt=prompt, tokens=tokens, seconds=1.0)
        for name in names
        for precision in ("bf16", "int8", "nf4")
        for shape in [shape_of(model_spec(name, precision))]
        for prompt, tokens in ((False, 1), (False, 2048), (False, 8192), (True, 128), (True, 2048))
    ]
    timings = {
        (p.shape, p.precision): block_timing(p.shape, p.precision, H100, true) for p in points
    }
    points = [
        dataclasses.replace(p, seconds=point_s(timings[p.shape, p.precision], p)) for p in points
    ]
    found = fit_kernels(points, H100, KERNELS)
    again = timings_of(points, H100, found)
    errors = [abs(point_s(again[p.shape, p.precision], p) / p.seconds - 1) for p in points]
    assert max(errors) < 0.05
    assert found.compute == pytest.approx(0.5, rel=0.1)
    assert found.block_launch_s == pytest.approx(true.block_launch_s, rel=0.1)


def test_figures_that_no_point_shows_stay_where_they_were() -> None:
    measured = np.array([2.0, 4.0])
    expected = np.array([1.0, 7.0])
    found = fit_near(lambda x: x[0] * np.array([1.0, 2.0]), measured, expected, 0.5, 0.05)
    assert found == pytest.approx([2.0, 7.0], rel=0.02)


def test_one_wild_point_moves_a_fit_by_little() -> None:
    measured = np.array([1.0, 1.0, 1.0, 1.0, 9.0])
    found = fit_near(lambda x: np.full(5, x[0]), measured, np.array([1.2]), 1.0, 0.05)
    assert found == pytest.approx([1.0], rel=0.06)


def test_the_shipped_constants_are_written_with_four_digits() -> None:
    assert kernels_document(KERNELS) == dataclasses.asdict(KERNELS)
    assert all(value > 0 for value in kernels_document(KERNELS).values())


def test_shapes_are_plain_data() -> None:
    assert Block(shared_parameters=1, heads=1, cache_bytes=2.0, wide_bytes=2.0).read(3) == 1
