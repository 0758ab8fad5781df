"""Models by their ``config.json``: one file a family, each block's weights, cache and state.

What transformers builds of a configuration is counted weight by weight; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ...core.errors import ScenarioError
from . import experts, latent, linear, llama, older, windows
from .architecture import Architecture
from .config import Config

__all__ = ["Architecture", "known_families", "read"]

_FAMILIES: Mapping[str, Callable[[Config], Architecture]] = {
    "bloom": older.bloom,
    "cohere": llama.cohere,
    "dbrx": experts.dbrx,
    "deepseek_v2": latent.deepseek,
    "deepseek_v3": latent.deepseek,
    "falcon": older.falcon,
    "gemma2": windows.gemma2,
    "gemma3_text": windows.gemma3,
    "glm4_moe": experts.glm4_moe,
    "gpt_oss": windows.gpt_oss,
    "grok-1": experts.grok,
    "kimi_k2": latent.deepseek,
    "llama": llama.llama,
    "llama4_text": windows.llama4,
    "minimax_m2": experts.minimax_m2,
    "mistral": llama.mistral,
    "mixtral": experts.mixtral,
    "olmo2": llama.olmo2,
    "phimoe": experts.phimoe,
    "qwen2": llama.qwen2,
    "qwen2_moe": experts.qwen2_moe,
    "qwen3": llama.qwen3,
    "qwen3_moe": experts.qwen3_moe,
    "qwen3_next": linear.qwen3_next,
}
#: Configurations of models that also see: their language part is named by the same word.
_TEXT = {"gemma3": "gemma3_text", "llama4": "llama4_text"}


def known_families() -> tuple[str, ...]:
    """Values of ``model_type`` that can be read, sorted."""
    return tuple(sorted(_FAMILIES))


def read(given: object, source: str = "config.json") -> Architecture:
    """A model by what its configuration says; of one that also sees, the language part.

    Parameters
    ----------
    given : the configuration as plain data.
    source : the file, for messages.

    Raises
    ------
    ScenarioError
        If the family is unknown, a field is missing or absurd; one line, naming the field.
    """
    if not isinstance(given, dict):
        raise ScenarioError.single(
            "", "is no model configuration: expected an object", source=source
        )
    config = Config(given, source)
    kind = config.word("model_type").removesuffix("-petals")
    part = config.part("text_config")
    if part is not None:
        kind = part.word("model_type") or _TEXT.get(kind, kind)
        config = part
    family = _FAMILIES.get(kind) or _FAMILIES.get(kind.replace("-", "_"))
    if family is None:
        said = f"is {kind!r}, unknown" if kind else "is missing"
        raise config.defect("model_type", f"{said}; known: {', '.join(known_families())}")
    return replace(family(config), family=kind)
