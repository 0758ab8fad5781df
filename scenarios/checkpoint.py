"""A model's figures from the catalogue or from a checkpoint's ``config.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ScenarioError
from ..perfmodel.catalogue import (
    BYTES_PER_VALUE,
    OVERHEAD,
    Architecture,
    architecture,
    petals_prefix,
)
from .files import read_bytes

_FAMILIES = {"llama": "llama", "bloom": "bloom", "falcon": "falcon", "mixtral": "mixtral"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """What a scenario needs to know of a model.

    Attributes
    ----------
    prefix : the DHT prefix that PETALS derives from the name.
    block_bytes : weights of one block at ``bytes_per_value``.
    cache_bytes_per_token : K and V of one block for one token.
    """

    name: str
    prefix: str
    num_blocks: int
    hidden_size: int
    block_parameters: int
    key_value_width: int
    grouped_query: bool

    def block_bytes(self, bytes_per_value: float) -> int:
        """Weights of one block as PETALS counts them."""
        return max(1, int(self.block_parameters * bytes_per_value * OVERHEAD))

    def cache_bytes_per_token(self, bytes_per_value: float) -> int:
        """K and V of one block for one token."""
        return int(2 * self.key_value_width * bytes_per_value)

    def document(self, bytes_per_value: float) -> dict[str, Any]:
        """The ``model`` section of a scenario file."""
        return {
            "name": self.name,
            "quantisation": "bf16",
            "num_blocks": self.num_blocks,
            "hidden_size": self.hidden_size,
            "block_mb": self.block_bytes(bytes_per_value) / 1e6,
            "cache_bytes_per_token": self.cache_bytes_per_token(bytes_per_value),
            "grouped_query": self.grouped_query,
        }

    def held_bytes(
        self, blocks: int, bytes_per_value: float, quantisation: str | None, cache_tokens_left: int
    ) -> int:
        """Lower bound of a server's memory: its blocks, and the cache it has left.

        Parameters
        ----------
        cache_tokens_left : as PETALS announces it, K and V of each block apart.
        """
        quantised = BYTES_PER_VALUE.get(quantisation or "")
        ratio = quantised / BYTES_PER_VALUE["bf16"] if quantised else 1.0
        weights = self.block_bytes(bytes_per_value) * ratio * blocks
        left = cache_tokens_left * self.cache_bytes_per_token(bytes_per_value) / 2
        return max(1_000, round(weights + left))


def model_figures(model: str, prefix: str | None = None) -> ModelFigures:
    """Figures of a catalogue name, of a repository's name, or of a checkpoint folder.

    Raises
    ------
    ScenarioError
        If the name is unknown and no such folder exists, or its configuration is incomplete.
    """
    folder = Path(model)
    name = folder.name if folder.is_dir() else model.split("/")[-1]
    known = _from_folder(folder) if folder.is_dir() else architecture(model)
    # PETALS makes none of a folder: servers and clients have to be given one, this or another.
    own = petals_prefix(name if folder.is_dir() else model, known.family)
    return ModelFigures(
        name=name,
        prefix=prefix or own,
        num_blocks=known.num_blocks,
        hidden_size=known.hidden_size,
        block_parameters=known.block_parameters,
        key_value_width=known.key_value_heads * known.head_size,
        grouped_query=known.key_value_heads < known.heads,
    )


def _from_folder(folder: Path) -> Architecture:
    path = folder / "config.json"
    try:
        given = json.loads(read_bytes(path, 2**20))
    except ValueError as error:
        raise ScenarioError.single("", f"is no JSON: {error}", source=str(path)) from error
    kind = str(given.get("model_type", "")) if isinstance(given, dict) else ""
    family = next((f for word, f in _FAMILIES.items() if kind.startswith(word)), None)
    if family is None:
        text = f"has the unknown model_type {kind!r}; known: {', '.join(_FAMILIES)}"
        raise ScenarioError.single("model_type", text, source=str(path))
    hidden = _first(path, given, "hidden_size", "n_embed")
    heads = _first(path, given, "num_attention_heads", "n_head")
    one = given.get("multi_query") is True and not given.get("new_decoder_architecture")
    own = {"own": 1 if one else heads, **given}
    if family == "falcon" and not given.get("new_decoder_architecture"):
        own.pop("num_kv_heads", None)  # read by the new architecture alone
    fallback = {"inner": 4 * hidden, "experts": 1, **given}
    head = _first(path, {"head_dim": hidden // heads, **_stated(given)}, "head_dim")
    key_value_heads = _first(path, own, "num_key_value_heads", "num_kv_heads", "own")
    inner = _first(path, fallback, "intermediate_size", "ffn_hidden_size", "n_inner", "inner")
    biases = 0
    if given.get("attention_bias") is True and family == "llama":
        biases += head * (heads + 2 * key_value_heads) + hidden
    if given.get("mlp_bias") is True and family == "llama":
        biases += 2 * inner + hidden
    if family == "falcon" and not given.get("new_decoder_architecture"):
        biases -= 2 * hidden if given.get("parallel_attn", True) else 0  # one norm for both halves
    return Architecture(
        family=family,  # type: ignore[arg-type]
        num_blocks=_first(path, given, "num_hidden_layers", "n_layer"),
        hidden_size=hidden,
        heads=heads,
        key_value_heads=key_value_heads,
        inner_size=inner,
        vocabulary=_first(path, given, "vocab_size"),
        experts=_first(path, fallback, "num_local_experts", "experts"),
        head_width=head,
        other_parameters=biases,
    )


def _stated(given: dict[str, Any]) -> dict[str, Any]:
    """What a configuration says; null says nothing."""
    return {key: value for key, value in given.items() if value is not None}


def _first(path: Path, given: dict[str, Any], *names: str) -> int:
    for name in names:
        value = given.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**7:
            return value
    raise ScenarioError.single(names[0], "is missing or absurd", source=str(path))
