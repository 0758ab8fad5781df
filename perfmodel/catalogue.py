"""Shipped models, read from their public configurations (``profiles/models.json``, ``configs/``).

Bytes of a block follow PETALS (docs/model.md section 1): parameters x bytes per value x 1.01.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from ..core.blocks import Block
from ..core.errors import ScenarioError
from ..core.names import CacheKept
from ..core.problem import ModelSpec, alike, per_block
from .configs import Architecture, read

#: By quantisation, and by the data type of 16- and 32-bit weights.
BYTES_PER_VALUE = {"bf16": 2.0, "int8": 1.0, "nf4": 4.25 / 8}
#: Positions that PETALS' runtime takes in one task; longer prompts go block by block.
TASK_TOKENS = {"bf16": 128, "int8": 128, "nf4": 1}
BYTES_PER_TYPE = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
#: What PETALS adds to a block's weights.
OVERHEAD = 1.01
_HALF_PRECISION_BYTES = 2

#: Endings of repositories' names that change nothing in the blocks' shape, and names of their own.
_TUNED = re.compile(
    r"([- ](instruct|thinking|chat|hf|it|pt|base|fp8|bf16|nf4|int8|v0\.[1-3]|\d{4}|\(text\)))+$"
)
_ALIASES = {
    "bloom": "BLOOM-176B",
    "bloom-petals": "BLOOM-176B",
    "bloomz-petals": "BLOOM-176B",
    "bloomz": "BLOOM-176B",
    "bloomz-7b1": "BLOOM-7B1",
    "c4ai-command-r-plus": "Command-R+",
    "deepseek-r1": "DeepSeek-V3",
    "llama-4-maverick-17b-128e": "Llama-4-Maverick",
    "llama-4-scout-17b-16e": "Llama-4-Scout",
    "mistral-7b": "Mistral-7B-v0.1",
    "mistral-large": "Mistral-Large-2407",
    "olmo-2-1124-13b": "OLMo-2-13B",
    "stablebeluga2": "Llama-2-70B",
}
#: Who publishes the models of a family whose prefix has their name in it.
_PUBLISHERS = {"bloom": "bigscience", "mixtral": "mistralai"}


def petals_prefix(name: str, family: str) -> str:
    """The key of a swarm's table that PETALS makes of a model's name, by its class of the family.

    Llama and Falcon leave the publisher out, BLOOM (which adds a word) and Mixtral do not. A name
    without a publisher stands for the repository of the one who published the model.
    """
    if "/" not in name:
        publisher = _PUBLISHERS.get(family)
        known = _entries().get(name.casefold())
        fallback = f"{publisher}/{name}" if publisher else name
        name = known["repository"] if known else fallback
    whole = name.replace(".", "-")
    last = whole.rpartition("/")[2]
    if family == "bloom":
        return whole + "-petals"
    if family == "mixtral":
        return whole
    return last + "-hf" if family == "llama" and not last.endswith("-hf") else last


def model_names() -> tuple[str, ...]:
    """Names of the shipped models, sorted."""
    return tuple(sorted(entry["name"] for entry in _entries().values()))


def architecture(name: str) -> Architecture:
    """Configuration of a shipped model by its name, or by that of a repository of it.

    Upper and lower case are alike; ``meta-llama/Llama-3.1-70B-Instruct`` is Llama-3.1-70B.

    Raises
    ------
    ScenarioError
        If there is no such model; the message names near matches.
    """
    return _known(shipped_name(name))


def shipped_name(name: str) -> str:
    """The name in the catalogue of a model, or of what a repository's model was tuned from.

    Raises
    ------
    ScenarioError
        If there is no such model; the message names near matches.
    """
    for asked in (name, name.rpartition("/")[2], _without_tuning(name)):
        found = _entries().get(asked.casefold())
        if found is not None:
            return str(found["name"])
    raise unknown_name("model", name, model_names())


def _without_tuning(repository: str) -> str:
    """What a repository's model was tuned from, as its name says it."""
    name = repository.rpartition("/")[2].casefold().removeprefix("meta-")
    short = _TUNED.sub("", name)
    return _ALIASES.get(short, short)


def shipped_architecture(name: str) -> Architecture | None:
    """Configuration of a model by its name in the catalogue, None for other names."""
    return _known(name) if name.casefold() in _entries() else None


@cache
def _entries() -> Mapping[str, Mapping[str, Any]]:
    """Name, repository and configuration of every shipped model by its name in lower case."""
    text = (files(__package__) / "profiles" / "models.json").read_text(encoding="utf-8")
    return {entry["name"].casefold(): entry for entry in json.loads(text)}


@cache
def _known(name: str) -> Architecture:
    return read(_entries()[name.casefold()]["config"], name)


def block_bytes(name: str, quantisation: str) -> int | tuple[int, ...]:
    """Weights of a block of a shipped model, bytes, at ``bf16``, ``int8`` or ``nf4``."""
    return alike(tuple(weights_bytes(b, quantisation) for b in architecture(name).blocks))


def weights_bytes(block: Block, quantisation: str) -> int:
    """Weights of a block, bytes, as PETALS counts them."""
    return int(block.parameters * bytes_per_value(quantisation) * OVERHEAD)


def model_spec(name: str, quantisation: str = "nf4", kept: CacheKept = "full") -> ModelSpec:
    """A shipped model as the planner sees it; see ``spec_of``.

    Raises
    ------
    ScenarioError
        If the model or the quantisation is unknown.
    """
    found = shipped_name(name)
    return spec_of(found, _known(found), quantisation, kept)


def spec_of(
    name: str, known: Architecture, quantisation: str = "nf4", kept: CacheKept = "full"
) -> ModelSpec:
    """A model as the planner sees it.

    The attention cache and the hidden states are 16-bit whatever the weights are, as in PETALS.

    Parameters
    ----------
    kept : what the runtime keeps: what blocks need (``windowed``), the same of all tokens whatever
        the window (``full``), or keys and values of every head of them (``expanded``).
    """
    blocks = known.blocks
    return ModelSpec(
        name=name,
        num_blocks=len(blocks),
        hidden_size=known.hidden_size,
        block_bytes=alike(tuple(weights_bytes(b, quantisation) for b in blocks)),
        cache_bytes_per_token=alike(tuple(kept_bytes(b, kept) for b in blocks)),
        window_tokens=alike(tuple(b.window_tokens for b in blocks)) if kept == "windowed" else None,
        state_bytes=alike(tuple(b.state_bytes for b in blocks)),
        activation_bytes_per_token=known.hidden_size * _HALF_PRECISION_BYTES,
        grouped_query=known.grouped_query,
        quantisation=quantisation,
        blocks=alike(blocks),
        context_tokens=known.context_tokens,
    )


def kept_bytes(block: Block, kept: CacheKept) -> int:
    """What a runtime keeps of one token for a block."""
    expanded = block.expanded_bytes if kept == "expanded" else None
    return int(block.cache_bytes if expanded is None else expanded)


def block_parameters(model: ModelSpec) -> int:
    """Parameters of one block, the largest where they differ: exact where its blocks are known,
    otherwise an estimate.

    The estimate is what weights of the stated size hold at their precision.
    """
    if model.blocks is not None:
        return max(b.parameters for b in per_block(model.blocks, model.num_blocks))
    largest = max(per_block(model.block_bytes, model.num_blocks))
    return int(largest / (bytes_per_value(model.quantisation) * OVERHEAD))


def bytes_per_value(quantisation: str) -> float:
    """Bytes that a weight takes.

    Raises
    ------
    ScenarioError
        If the quantisation is unknown.
    """
    if quantisation not in BYTES_PER_VALUE:
        raise unknown_name("quantisation", quantisation, tuple(BYTES_PER_VALUE))
    return BYTES_PER_VALUE[quantisation]


def unknown_name(kind: str, name: str, known: tuple[str, ...]) -> ScenarioError:
    """The error for a name that is in no catalogue, with what it may have meant."""
    folded = {entry.casefold(): entry for entry in known}
    near = [folded[k] for k in get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)]
    hints = [f"did you mean {' or '.join(near)}?"] if near else []
    if len(known) <= 12:
        hints.append(f"known: {', '.join(known)}")
    elif not near:
        hints.append(f"{len(known)} are known, for example {', '.join(known[:5])}")
    return ScenarioError.single("", f"unknown {kind} {name!r}; {' '.join(hints)}")
