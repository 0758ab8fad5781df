"""Shipped models, computed from their public configurations.

Parameters of one block, with d = hidden size, a = heads x head size, k = key/value heads x head
size, f = inner width of the feed-forward network:

* ``bloom``:   ``d(a + 2k) + ad + 2df`` weights, biases ``a + 2k + d + f + d``, two norms of 2d
* ``falcon``:  ``d(a + 2k) + ad + 2df`` weights, no bias, two norms of 2d
* ``llama``:   ``d(a + 2k) + ad + 3df`` weights, no bias, two norms of d
* ``mixtral``: as llama with e feed-forward networks and a router of ``ed`` weights
* ``qwen3moe``: as mixtral, with a norm of the head size on queries and keys

Bytes of a block follow PETALS (docs/model.md section 1): parameters x bytes per value x 1.01.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from ..core.errors import ScenarioError
from ..core.problem import ModelSpec

Family = Literal["bloom", "falcon", "llama", "mixtral", "qwen3moe"]
MIXTURES = ("mixtral", "qwen3moe")

#: By quantisation, and by the data type of 16- and 32-bit weights.
BYTES_PER_VALUE = {"bf16": 2.0, "int8": 1.0, "nf4": 4.25 / 8}
#: Positions that PETALS' runtime takes in one task; longer prompts go block by block.
TASK_TOKENS = {"bf16": 128, "int8": 128, "nf4": 1}
BYTES_PER_TYPE = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
#: What PETALS adds to a block's weights.
OVERHEAD = 1.01
_HALF_PRECISION_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The published configuration of a model.

    ``tied_head``: the output head shares the embedding matrix in the published checkpoint.
    ``active_experts``: those that a token visits. ``head_width``: None = hidden size / heads.
    ``other_parameters``: biases and norms of one block beside those of the family's formula.
    """

    family: Family
    num_blocks: int
    hidden_size: int
    heads: int
    key_value_heads: int
    inner_size: int
    vocabulary: int
    experts: int = 1
    active_experts: int = 1
    head_width: int | None = None
    tied_head: bool = False
    other_parameters: int = 0

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.head_width or self.hidden_size // self.heads

    @property
    def expert_parameters(self) -> int:
        """Weights of one feed-forward network."""
        matrices = 2 if self.family in ("bloom", "falcon") else 3
        return matrices * self.hidden_size * self.inner_size

    @property
    def block_parameters(self) -> int:
        """Parameters of one block (formulas in the module's docstring)."""
        d, f = self.hidden_size, self.inner_size
        qkv = self.head_size * (self.heads + 2 * self.key_value_heads)
        matrices = d * qkv + self.heads * self.head_size * d
        matrices += self.experts * self.expert_parameters + self.other_parameters
        if self.family == "bloom":
            return matrices + (qkv + d + f + d) + 4 * d
        if self.family == "falcon":
            return matrices + 4 * d
        router = self.experts * d if self.family in MIXTURES else 0
        head_norms = 2 * self.head_size if self.family == "qwen3moe" else 0
        return matrices + router + 2 * d + head_norms

    @property
    def total_parameters(self) -> int:
        """Parameters of the whole checkpoint: blocks, embedding, head and outer norms."""
        embedding = self.vocabulary * self.hidden_size
        norms = {"bloom": 4, "falcon": 2}.get(self.family, 1)
        matrices = 1 if self.tied_head else 2
        outer = matrices * embedding + norms * self.hidden_size
        return self.num_blocks * self.block_parameters + outer


def _bloom(num_blocks: int, d: int, heads: int) -> Architecture:
    return Architecture(
        family="bloom",
        num_blocks=num_blocks,
        hidden_size=d,
        heads=heads,
        key_value_heads=heads,
        inner_size=4 * d,
        vocabulary=250_880,
        tied_head=True,
    )


def _llama(num_blocks: int, d: int, heads: int, inner: int, vocabulary: int) -> Architecture:
    return Architecture(
        family="llama",
        num_blocks=num_blocks,
        hidden_size=d,
        heads=heads,
        key_value_heads=8,
        inner_size=inner,
        vocabulary=vocabulary,
    )


def _falcon(num_blocks: int, d: int, heads: int) -> Architecture:
    return Architecture(
        family="falcon",
        num_blocks=num_blocks,
        hidden_size=d,
        heads=heads,
        key_value_heads=8,
        inner_size=4 * d,
        vocabulary=65_024,
    )


_MODELS = {
    "BLOOM-176B": _bloom(70, 14_336, 112),
    "BLOOM-7B1": _bloom(30, 4_096, 32),
    "Falcon-180B": _falcon(80, 14_848, 232),
    "Falcon-40B": _falcon(60, 8_192, 128),
    "Llama-2-70B": _llama(80, 8_192, 64, 28_672, 32_000),
    "Llama-3.1-405B": _llama(126, 16_384, 128, 53_248, 128_256),
    "Llama-3.1-70B": _llama(80, 8_192, 64, 28_672, 128_256),
    "Llama-3.1-8B": _llama(32, 4_096, 32, 14_336, 128_256),
    "Mixtral-8x7B": Architecture(
        family="mixtral",
        num_blocks=32,
        hidden_size=4_096,
        heads=32,
        key_value_heads=8,
        inner_size=14_336,
        vocabulary=32_000,
        experts=8,
        active_experts=2,
    ),
    "Qwen3-235B-A22B": Architecture(
        family="qwen3moe",
        num_blocks=94,
        hidden_size=4_096,
        heads=64,
        key_value_heads=4,
        inner_size=1_536,
        vocabulary=151_936,
        experts=128,
        active_experts=8,
        head_width=128,
    ),
}


#: Endings of repositories' names that change nothing in the blocks' shape, and names of their own.
_TUNED = re.compile(r"(-(instruct|chat|hf|it|base|fp8|bf16|nf4|int8|v0\.[1-3]|\d{4}))+$")
_ALIASES = {
    "bloom": "BLOOM-176B",
    "bloom-petals": "BLOOM-176B",
    "bloomz-petals": "BLOOM-176B",
    "bloomz": "BLOOM-176B",
    "bloomz-7b1": "BLOOM-7B1",
    "stablebeluga2": "Llama-2-70B",
}

#: Where models of the catalogue are published whose names here are not their repositories'.
_REPOSITORIES = {
    "bloom-176b": "bigscience/bloom",
    "bloom-7b1": "bigscience/bloom-7b1",
    "falcon-180b": "tiiuae/falcon-180B",
    "falcon-40b": "tiiuae/falcon-40b",
    "llama-2-70b": "meta-llama/Llama-2-70b-hf",
    "mixtral-8x7b": "mistralai/Mixtral-8x7B-v0.1",
}
#: Who publishes the models of a family whose prefix has their name in it.
_PUBLISHERS = {"bloom": "bigscience", "mixtral": "mistralai"}

#: Tokens of a session that a model was trained for, as its configuration says.
_CONTEXT_TOKENS = {
    "BLOOM-176B": 2_048,
    "BLOOM-7B1": 2_048,
    "Falcon-180B": 2_048,
    "Falcon-40B": 2_048,
    "Llama-2-70B": 4_096,
    "Llama-3.1-405B": 131_072,
    "Llama-3.1-70B": 131_072,
    "Llama-3.1-8B": 131_072,
    "Mixtral-8x7B": 32_768,
    "Qwen3-235B-A22B": 40_960,
}


def petals_prefix(name: str, family: str) -> str:
    """The key of a swarm's table that PETALS makes of a model's name, by its class of the family.

    Llama and Falcon leave the publisher out, BLOOM (which adds a word) and Mixtral do not. A name
    without a publisher stands for the repository of the one who published the model.
    """
    if "/" not in name:
        publisher = _PUBLISHERS.get(family)
        name = _REPOSITORIES.get(name.casefold(), f"{publisher}/{name}" if publisher else name)
    whole = name.replace(".", "-")
    last = whole.rpartition("/")[2]
    if family == "bloom":
        return whole + "-petals"
    if family == "mixtral":
        return whole
    return last + "-hf" if family == "llama" and not last.endswith("-hf") else last


def context_tokens(name: str) -> int | None:
    """The longest session that a shipped model was trained for, None for other models."""
    by_key = {known.casefold(): tokens for known, tokens in _CONTEXT_TOKENS.items()}
    return by_key.get(name.casefold())


def model_names() -> tuple[str, ...]:
    """Names of the shipped models, sorted."""
    return tuple(sorted(_MODELS))


def architecture(name: str) -> Architecture:
    """Configuration of a shipped model by its name, or by that of a repository of it.

    Upper and lower case are alike; ``meta-llama/Llama-3.1-70B-Instruct`` is Llama-3.1-70B.

    Raises
    ------
    ScenarioError
        If there is no such model; the message names near matches.
    """
    found = shipped_architecture(name) or shipped_architecture(_without_tuning(name))
    if found is None:
        raise unknown_name("model", name, model_names())
    return found


def _without_tuning(repository: str) -> str:
    """What a repository's model was tuned from, as its name says it."""
    name = repository.rpartition("/")[2].casefold().removeprefix("meta-")
    short = _TUNED.sub("", name)
    return _ALIASES.get(short, short)


def shipped_architecture(name: str) -> Architecture | None:
    """Configuration of a model by its name in the catalogue, None for other names."""
    return {known.casefold(): value for known, value in _MODELS.items()}.get(name.casefold())


def block_bytes(name: str, quantisation: str) -> int:
    """Weights of one block of a shipped model, bytes, at ``bf16``, ``int8`` or ``nf4``."""
    parameters = architecture(name).block_parameters
    return int(parameters * _bytes_per_value(quantisation) * OVERHEAD)


def model_spec(name: str, quantisation: str = "nf4") -> ModelSpec:
    """A shipped model as the planner sees it.

    The attention cache and the hidden states are 16-bit whatever the weights are, as in PETALS.

    Raises
    ------
    ScenarioError
        If the model or the quantisation is unknown.
    """
    model = architecture(name)
    shipped = next(known for known, value in _MODELS.items() if value is model)
    keys_and_values = 2 * model.key_value_heads * model.head_size
    return ModelSpec(
        name=shipped,
        num_blocks=model.num_blocks,
        hidden_size=model.hidden_size,
        block_bytes=block_bytes(name, quantisation),
        cache_bytes_per_token=keys_and_values * _HALF_PRECISION_BYTES,
        activation_bytes_per_token=model.hidden_size * _HALF_PRECISION_BYTES,
        grouped_query=model.key_value_heads < model.heads,
        quantisation=quantisation,
    )


def block_parameters(model: ModelSpec) -> int:
    """Parameters of one block: exact for a shipped model, otherwise an estimate.

    The estimate is what weights of the stated size hold at their precision.
    """
    shipped = shipped_architecture(model.name)
    if shipped is not None:
        return shipped.block_parameters
    return int(model.block_bytes / (_bytes_per_value(model.quantisation) * OVERHEAD))


def _bytes_per_value(quantisation: str) -> float:
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
