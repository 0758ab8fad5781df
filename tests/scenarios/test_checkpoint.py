"""What is read of a checkpoint's configuration, with figures worked out by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from swarmplan.scenarios.checkpoint import ModelFigures, model_figures

LLAMA = {
    "model_type": "llama",
    "hidden_size": 3072,
    "intermediate_size": 9216,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
    "vocab_size": 128256,
}
FALCON = {
    "model_type": "falcon",
    "hidden_size": 4544,
    "num_attention_heads": 71,
    "num_hidden_layers": 32,
    "vocab_size": 65024,
    "multi_query": True,
    "new_decoder_architecture": False,
}


def of(folder: Path, config: dict[str, Any]) -> ModelFigures:
    (folder / "config.json").write_text(json.dumps(config))
    return model_figures(str(folder))


@pytest.mark.parametrize(
    ("config", "parameters", "cache_bytes"),
    [
        ({**LLAMA, "head_dim": 128}, 116_398_080, 4_096),
        ({**LLAMA, "head_dim": None}, 108_533_760, 3_072),
        (
            {**LLAMA, "head_dim": 128, "attention_bias": True},
            116_398_080 + 4096 + 2 * 1024 + 3072,
            4_096,
        ),
        ({**LLAMA, "head_dim": 128, "mlp_bias": True}, 116_398_080 + 2 * 9216 + 3072, 4_096),
        # 4544 (4544 + 2 x 64) + 4544^2 + 8 x 4544^2, one norm of 2 x 4544
        (FALCON, 207_070_080, 256),
    ],
)
def test_blocks_and_cache_follow_from_the_configuration(
    config: dict[str, Any], parameters: int, cache_bytes: int, tmp_path: Path
) -> None:
    found = of(tmp_path, config)
    assert (found.block_parameters, found.cache_bytes_per_token(2.0)) == (parameters, cache_bytes)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("meta-llama/Llama-2-70b-chat-hf", "Llama-2-70b-chat-hf"),
        ("meta-llama/Llama-2-70b-hf", "Llama-2-70b-hf"),
        ("petals-team/StableBeluga2", "StableBeluga2-hf"),
        ("meta-llama/Meta-Llama-3.1-405B-Instruct", "Meta-Llama-3-1-405B-Instruct-hf"),
        ("Llama-3.1-8B", "Llama-3-1-8B-hf"),
        ("Llama-2-70B", "Llama-2-70b-hf"),
        ("bigscience/bloom", "bigscience/bloom-petals"),
        ("bigscience/bloomz-7b1", "bigscience/bloomz-7b1-petals"),
        ("BLOOM-176B", "bigscience/bloom-petals"),
        ("bloomz", "bigscience/bloomz-petals"),
        ("tiiuae/falcon-180B-chat", "falcon-180B-chat"),
        ("Falcon-40B", "falcon-40b"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mistralai/Mixtral-8x7B-Instruct-v0-1"),
        ("Mixtral-8x7B", "mistralai/Mixtral-8x7B-v0-1"),
    ],
)
def test_the_prefix_is_the_one_that_petals_makes_of_the_name(name: str, prefix: str) -> None:
    assert model_figures(name).prefix == prefix
    assert model_figures(name, "another").prefix == "another"
