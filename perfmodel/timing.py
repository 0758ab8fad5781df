"""The two formulas of a block's compute time, for one timing or for columns of many.

``decode = base + per_context_token context + per_sequence (batch - 1)``;
``prefill = max(floor, base + per_token tokens)``. docs/perfmodel.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..core.content import FloatArray
from ..core.problem import Timing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timings:
    """Columns of many timings, field by field, (m,) each."""

    decode_base_s: FloatArray
    decode_per_context_token_s: FloatArray
    decode_per_sequence_s: FloatArray
    prefill_floor_s: FloatArray
    prefill_base_s: FloatArray
    prefill_per_token_s: FloatArray

    @classmethod
    def of(cls, timings: Sequence[Timing]) -> Timings:
        """The columns, in the order given."""
        names = [f.name for f in fields(Timing)]
        return cls(**{n: np.array([getattr(t, n) for t in timings], np.float64) for n in names})


def decode_s(timing: Timing | Timings, context_tokens: float, batch: float = 1.0) -> Any:
    """Seconds for one block to process one new token of each sequence of a batch."""
    return (
        timing.decode_base_s
        + timing.decode_per_context_token_s * context_tokens
        + timing.decode_per_sequence_s * (batch - 1.0)
    )


def prefill_s(timing: Timing | Timings, tokens: float) -> Any:
    """Seconds for one block to process a prompt of ``tokens``."""
    sloped = timing.prefill_base_s + timing.prefill_per_token_s * tokens
    return np.maximum(timing.prefill_floor_s, sloped)
