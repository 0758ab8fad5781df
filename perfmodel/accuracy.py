"""What precisions cost in accuracy: shipped figures with their source, spread over the blocks.

Figures are a rise of the perplexity of the whole model in per cent. Inside, harm is
``100 ln(1 + rise / 100)``, which adds over blocks (docs/model.md 17).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from ..core.accuracy import Accuracy
from ..core.errors import ScenarioError
from ..core.problem import ModelSpec, per_block

Profile = Literal["flat", "ends"]
#: Rise of the perplexity at 8 bit: Q8_0 of Llama-2 and Llama-3, 7B to 70B, rises 0.03 to 0.08 %.
INT8_PERCENT = 0.05
#: At 4 bit by family: Q4_K_S of Llama-2-70B (1.57), IQ4_NL of Llama-3-70B (6.9) and Q4_K_S (6.15);
#: no table of bitsandbytes' NF4 for large models is public.
NF4_PERCENT = (("llama-?3", 6.5), ("llama-?2|stablebeluga2", 1.6), ("", 2.0))
SOURCE = "llama.cpp's tables of GGUF formats of so many bits (no own measurement: give harm)"
OWN = "the scenario's harm"
OWN_WIRE = "the scenario's wire_harm"
#: The first and the last blocks of a model are as sensitive as so many others, and which they are.
END_WEIGHT, END_SHARE = 3.0, 8


def accuracy_of(
    model: ModelSpec,
    precisions: Sequence[str],
    budgets: Sequence[float],
    *,
    harm_percent: Mapping[str, float] | None = None,
    profile: Profile | Sequence[float] = "flat",
    wires: Sequence[str] = (),
    wire_percent: Mapping[str, float] | None = None,
) -> Accuracy:
    """What some precisions of a model cost, block by block.

    Parameters
    ----------
    budgets : (clients,) per cent of perplexity that routes may cost; inf = any.
    harm_percent : own figures of the whole model over the shipped ones.
    profile : how it is spread: by the weights of the blocks, the same with ends that are three
        times as sensitive, or (L,) own weights.
    wires : by what hidden states go over links; wire_percent : what a hop by each costs.

    Raises
    ------
    ValueError
        If own weights are not those of all blocks, or all are 0.
    ScenarioError
        If nothing is known of a precision or a wire.
    """
    own = harm_percent or {}
    weights = _weights(model, profile)
    total = sum(weights)
    if len(weights) != model.num_blocks or not total > 0:
        raise ValueError(f"a profile needs {model.num_blocks} weights, some above 0")
    percents = {p: own.get(p, shipped_percent(model.name, p)) for p in precisions}
    said = [p for p in precisions if p not in own and percents[p] > 0]
    told = ", ".join(f"{p} {percents[p]:g} %" for p in precisions)
    remark = (
        f"rise of the perplexity: {told}; {', '.join(said)} by {SOURCE}"
        if said
        else (f"rise of the perplexity: {told}; {OWN}")
    )
    packed = {w: _wire_percent(w, wire_percent or {}) for w in wires if w != "none"}
    if packed:
        each = ", ".join(f"{w} {percent:g} %" for w, percent in packed.items())
        remark += f"; each hop by {each} ({OWN_WIRE})"
    return Accuracy(
        harm=tuple(
            (p, tuple(harm_of(percent) * w / total for w in weights))
            for p, percent in percents.items()
        ),
        budgets=tuple(harm_of(b) for b in budgets),
        wire=tuple((w, harm_of(percent)) for w, percent in packed.items()),
        remark=remark,
    )


def shipped_percent(model_name: str, precision: str) -> float:
    """Rise of the perplexity of a whole model at a precision, per cent; 0 of 16 bit.

    Raises
    ------
    ScenarioError
        For a precision of which nothing is known.
    """
    if precision == "bf16":
        return 0.0
    if precision == "int8":
        return INT8_PERCENT
    if precision == "nf4":
        return next(p for mark, p in NF4_PERCENT if re.search(mark, model_name.casefold()))
    raise ScenarioError.single("accuracy.harm", f"must give {precision!r}: nothing is known of it")


def _wire_percent(wire: str, own: Mapping[str, float]) -> float:
    """Rise of the perplexity by a hop, per cent. Nothing is shipped: no figure is public."""
    if wire not in own:
        raise ScenarioError.single(
            f"accuracy.wire_harm.{wire}",
            "is missing: give by how many per cent the perplexity rises for each hop by it (there "
            'is no public figure), or leave it out of "wire"',
        )
    return own[wire]


def harm_of(percent: float) -> float:
    """Harm of a rise of the perplexity in per cent."""
    return 100.0 * math.log1p(percent / 100.0) if math.isfinite(percent) else percent


def percent_of(harm: float) -> float:
    """Rise of the perplexity in per cent of a harm."""
    return 100.0 * math.expm1(harm / 100.0) if math.isfinite(harm) else harm


def _weights(model: ModelSpec, profile: Profile | Sequence[float]) -> Sequence[float]:
    if not isinstance(profile, str):
        return profile
    sizes = per_block(model.block_bytes, model.num_blocks)
    if profile == "flat":
        return sizes
    end = math.ceil(model.num_blocks / END_SHARE)
    return [
        s * (END_WEIGHT if i < end or i >= model.num_blocks - end else 1.0)
        for i, s in enumerate(sizes)
    ]
