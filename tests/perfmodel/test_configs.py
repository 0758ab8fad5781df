"""Models by their configuration: weight for weight as transformers builds them."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from swarmplan.core.blocks import Block
from swarmplan.core.errors import ScenarioError
from swarmplan.perfmodel.catalogue import (
    architecture,
    kept_bytes,
    model_names,
    model_spec,
    weights_bytes,
)
from swarmplan.perfmodel.configs import Architecture, known_families, read

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 100,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 3,
    "vocab_size": 1000,
}
DEEPSEEK = {
    "model_type": "deepseek_v3",
    "hidden_size": 64,
    "intermediate_size": 100,
    "moe_intermediate_size": 10,
    "num_attention_heads": 4,
    "num_hidden_layers": 5,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 2,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "vocab_size": 1000,
}


def golden(shared_data: Path) -> list[dict[str, Any]]:
    models: list[dict[str, Any]] = json.loads((shared_data / "golden" / "models.json").read_text())[
        "models"
    ]
    return models


def unrolled(runs: list[list[Any]]) -> list[Any]:
    return [value for value, count in runs for _ in range(count)]


def figures(found: Architecture) -> dict[str, list[Any]]:
    def each(name: str) -> list[Any]:
        return [getattr(block, name) for block in found.blocks]

    return {
        "parameters": each("parameters"),
        "active_parameters": each("active_parameters"),
        "matrix_parameters": [b.parameters - b.vector_parameters for b in found.blocks],
        "kv_bytes_per_token": each("cache_bytes"),
        "kv_bytes_per_token_expanded": each("expanded_bytes"),
        "kv_window_tokens": each("window_tokens"),
        "state_bytes": each("state_bytes"),
    }


def test_every_layer_of_39_models_is_read_as_recorded(shared_data: Path) -> None:
    models = golden(shared_data)
    assert len(models) == 39
    for model in models:
        found, recorded = read(model["config"]), model["layers_run_length"]
        for name, own in figures(found).items():
            assert own == unrolled(recorded[name]), (model["model"], name)
        for precision, runs in model["block_bytes_petals_rule"].items():
            sizes = [weights_bytes(b, precision) for b in found.blocks]
            assert sizes == unrolled(runs), (model["model"], precision)


def test_totals_are_those_of_the_published_checkpoints(shared_data: Path) -> None:
    exact = 0
    for model in golden(shared_data):
        found = read(model["config"])
        told = found.embedding_parameters, found.head_parameters, found.outer_parameters
        wanted = "embedding_parameters", "head_parameters", "outer_other_parameters"
        assert told == tuple(model[name] for name in wanted), model["model"]
        assert found.total_parameters == model["total_parameters"]
        assert found.active_parameters == model["active_parameters"]
        if model["published_total_exact"]:
            exact += 1
            missing = model["published_total_exact"] - found.total_parameters
            # Routing biases of DeepSeek-V3: buffers, not weights.
            assert missing == (14_848 if model["model"] == "DeepSeek-V3" else 0)
    assert exact == 10


def test_the_catalogue_has_them_all_by_their_public_names(shared_data: Path) -> None:
    for model in golden(shared_data):
        assert figures(architecture(model["model"])) == figures(read(model["config"]))
        assert model_spec(model["model"]).name in model_names()


def test_what_sessions_keep_of_all_blocks_is_as_recorded(shared_data: Path) -> None:
    from swarmplan.perfmodel.kept import Kept

    for model in golden(shared_data):
        for kept, recorded in (
            ("windowed", model["session_cache_bytes_all_blocks"]),
            ("full", model["session_cache_bytes_all_blocks_no_windows"]),
        ):
            made = Kept(model_spec(model["model"], "nf4", kept))  # type: ignore[arg-type]
            for tokens, total in recorded.items():
                assert made.bytes(int(tokens), 0, made.length) == total, (model["model"], kept)


def test_a_dense_block_is_counted_by_hand() -> None:
    (one, *rest) = read(LLAMA).blocks
    assert one.parameters == 64 * (64 + 2 * 32) + 64 * 64 + 3 * 64 * 100 + 2 * 64
    assert one.active_parameters == one.parameters
    assert (one.cache_bytes, one.wide_bytes, one.vector_parameters) == (128, 256, 128)
    assert rest == [one, one]


def test_dense_blocks_come_first_and_a_latent_stands_for_all_heads() -> None:
    found = read(DEEPSEEK)
    dense, mixed = found.blocks[0], found.blocks[2]
    assert found.blocks == (dense, dense, mixed, mixed, mixed)
    own = 64 * 24 + 24 * 4 * 12 + 64 * 20 + 16 * 4 * 16 + 4 * 8 * 64 + 24 + 16
    assert dense.parameters == own + 3 * 64 * 100 + 2 * 64
    assert mixed.active_parameters == own + 3 * 3 * 64 * 10 + 8 * 64 + 2 * 64
    assert mixed.parameters - mixed.active_parameters == 6 * 3 * 64 * 10
    assert [kept_bytes(dense, kept) for kept in ("windowed", "full", "expanded")] == [40, 40, 160]


def test_a_model_that_also_sees_is_read_for_its_language_part() -> None:
    part = {
        "hidden_size": 64,
        "intermediate_size": 100,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "num_hidden_layers": 12,
        "sliding_window": 7,
        "vocab_size": 1000,
    }
    found = read({"model_type": "gemma3", "text_config": part})
    assert found == read({"model_type": "gemma3_text", **part})
    assert [b.window_tokens for b in found.blocks] == ([7] * 5 + [None]) * 2
    assert found.head_parameters == 0


def test_kinds_of_attention_are_taken_from_the_list_where_there_is_one() -> None:
    kinds = ["full_attention", "sliding_attention", "sliding_attention"]
    qwen = {**LLAMA, "model_type": "qwen3", "head_dim": 16, "layer_types": kinds}
    late = {"use_sliding_window": True, "sliding_window": 9}
    assert [b.window_tokens for b in read({**qwen, **late}).blocks] == [None, 9, 9]
    assert [b.window_tokens for b in read(qwen).blocks] == [None] * 3
    del qwen["layer_types"]
    late["max_window_layers"] = 1
    assert [b.window_tokens for b in read({**qwen, **late}).blocks] == [None, 9, 9]


def test_experts_may_be_in_every_other_block_alone() -> None:
    moe = {"moe_intermediate_size": 10, "num_experts": 4, "num_experts_per_tok": 2, "head_dim": 16}
    given = {**LLAMA, **moe, "model_type": "qwen3_moe", "decoder_sparse_step": 2}
    assert [b.experts for b in read(given).blocks] == [0, 4, 0]
    given |= {"decoder_sparse_step": 1, "mlp_only_layers": [2]}
    assert [b.experts for b in read(given).blocks] == [4, 4, 0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "mamba"}, "config.json: model_type: is 'mamba', unknown; known: bloom,"),
        ({"model_type": None}, "config.json: model_type: is missing; known: bloom,"),
        ({"model_type": 7}, "model_type: is missing"),
        ({"hidden_size": None}, "hidden_size: is missing"),
        ({"hidden_size": "64"}, "hidden_size: is no whole number: '64'"),
        ({"hidden_size": True}, "hidden_size: is no whole number: True"),
        ({"hidden_size": 0}, "hidden_size: is 0, expected 1 to 100000000"),
        ({"hidden_size": 66}, "hidden_size: is 66, no multiple of 4 heads"),
        ({"num_key_value_heads": 3}, "num_key_value_heads: is 3 for 4 heads"),
        ({"num_hidden_layers": 1001}, "num_hidden_layers: is 1001, at most 1000"),
        ({"attention_bias": "no"}, "attention_bias: is neither true nor false"),
        ({"model_type": "qwen2", "use_sliding_window": True, "layer_types": ["x"] * 3}, "has 'x'"),
        ({"model_type": "qwen2", "use_sliding_window": True, "layer_types": []}, "no list of 3"),
        ({"model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 3}, "3 of 2"),
        ({"model_type": "dbrx", "n_heads": 4, "n_layers": 1}, "ffn_config: is missing"),
    ],
)
def test_an_unknown_or_incomplete_configuration_is_one_line(
    change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ScenarioError) as failure:
        read({**LLAMA, **change})
    assert said in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("given", [None, [], "text", 7])
def test_what_is_no_object_is_no_configuration(given: object) -> None:
    with pytest.raises(ScenarioError, match="expected an object"):
        read(given)


@pytest.mark.parametrize("family", known_families())
def test_no_family_falls_over_a_configuration_that_lacks_a_field(family: str) -> None:
    """Every field that a shipped model of the family says is dropped once."""
    entries = [n for n in model_names() if architecture(n).family == family]
    from swarmplan.perfmodel.catalogue import _entries

    config = _entries()[entries[0].casefold()]["config"]
    for name in config:
        rest = {key: value for key, value in config.items() if key != name}
        with contextlib.suppress(ScenarioError):
            assert all(isinstance(block, Block) for block in read(rest).blocks)
