from __future__ import annotations

import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.perfmodel.catalogue import architecture, block_bytes, model_names, model_spec

# Parameters of the published checkpoints.
TOTALS = {
    "BLOOM-176B": 176_247_271_424,
    "BLOOM-7B1": 7_069_016_064,
    "Falcon-180B": 179_522_565_120,
    "Falcon-40B": 41_835_970_560,
    "Llama-2-70B": 68_976_648_192,
    "Llama-3.1-405B": 405_853_388_800,
    "Llama-3.1-70B": 70_553_706_496,
    "Llama-3.1-8B": 8_030_261_248,
    "Mixtral-8x7B": 46_702_792_704,
    "Qwen3-235B-A22B": 235_093_634_560,
}


def test_models_that_were_measured_are_checked_here() -> None:
    assert set(TOTALS) <= set(model_names())


@pytest.mark.parametrize("name", sorted(TOTALS))
def test_total_parameters_equal_the_published_ones(name: str) -> None:
    assert architecture(name).total_parameters == pytest.approx(TOTALS[name], rel=1e-9)


@pytest.mark.parametrize(
    ("quantisation", "expected"),
    [("bf16", 4_982_202_982), ("int8", 2_491_101_491), ("nf4", 1_323_397_667)],
)
def test_bloom_block_bytes_are_those_of_petals(quantisation: str, expected: int) -> None:
    assert architecture("BLOOM-176B").block.parameters == 2_466_437_120
    assert block_bytes("BLOOM-176B", quantisation) == expected
    assert model_spec("bloom-176b", quantisation).block_bytes == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BLOOM-176B", 4 * 14_336),
        ("Llama-2-70B", 4 * 8 * 128),
        ("Llama-3.1-405B", 4 * 8 * 128),
        ("Falcon-180B", 4 * 8 * 64),
        ("Mixtral-8x7B", 4 * 8 * 128),
    ],
)
def test_cache_counts_key_value_heads_only(name: str, expected: int) -> None:
    spec = model_spec(name)
    assert spec.cache_bytes_per_token == expected
    assert spec.grouped_query == (expected < 4 * spec.hidden_size)
    assert spec.activation_bytes_per_token == 2 * spec.hidden_size


def test_an_unknown_model_names_near_matches() -> None:
    with pytest.raises(ScenarioError, match=r"unknown model 'llama-3-70b'.*Llama-3\.1-70B"):
        model_spec("llama-3-70b")
    with pytest.raises(ScenarioError, match="known: bf16, int8, nf4"):
        model_spec("BLOOM-176B", "fp64")
