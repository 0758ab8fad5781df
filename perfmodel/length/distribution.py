"""The one answer of every predictor: quantiles of the output length, per request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...core.content import FloatArray, IntArray

#: Levels at which every predictor states its quantiles.
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthQuantiles:
    """Quantiles of the output length of N requests.

    Attributes
    ----------
    tokens : (N, len(LEVELS)) output tokens, not decreasing along the levels.
    """

    tokens: FloatArray

    def __len__(self) -> int:
        return len(self.tokens)

    def at(self, level: float) -> FloatArray:
        """(N,) tokens at a level, linear between the stated levels and flat outside them."""
        if not 0.0 <= level <= 1.0:
            raise ValueError(f"a level must be between 0 and 1, got {level}")
        right = int(np.searchsorted(LEVELS, level))
        if right == 0 or level >= LEVELS[-1]:
            edge: FloatArray = self.tokens[:, min(right, len(LEVELS) - 1)]
            return edge
        low, high = LEVELS[right - 1], LEVELS[right]
        share = (level - low) / (high - low)
        found: FloatArray = (1 - share) * self.tokens[:, right - 1] + share * self.tokens[:, right]
        return found

    def mean(self) -> FloatArray:
        """(N,) expected tokens: the area under the quantiles."""
        edges = np.concatenate([[0.0], LEVELS, [1.0]])
        ends = np.concatenate([self.tokens[:, :1], self.tokens, self.tokens[:, -1:]], axis=1)
        area: FloatArray = ((ends[:, 1:] + ends[:, :-1]) / 2 * np.diff(edges)).sum(axis=1)
        return area

    def whole(self, level: float) -> IntArray:
        """(N,) tokens at a level, rounded up, at least 1: what is reserved."""
        return np.maximum(np.ceil(self.at(level)), 1).astype(np.int64)


def safe_quantiles(values: FloatArray, levels: ArrayLike = LEVELS) -> FloatArray:
    """Quantiles of a sample that hold for the next draw, not only for the sample.

    Level q takes the value of rank ``ceil((n + 1) q)`` (split conformal prediction): a new draw
    exceeds it with probability at most ``1 - q``. Where the sample is too small for that its
    maximum stands in.
    """
    ordered = np.sort(values)
    rank = np.ceil((len(values) + 1) * np.asarray(levels, dtype=np.float64) - 1e-9)
    chosen: FloatArray = ordered[np.clip(rank.astype(np.int64) - 1, 0, len(values) - 1)]
    return chosen
