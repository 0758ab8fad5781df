"""One figure over many requests."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..core.content import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Mean and quantiles of one figure over the completed requests; nan where none completed."""

    mean: float = math.nan
    p50: float = math.nan
    p95: float = math.nan
    p99: float = math.nan

    @classmethod
    def of(cls, values: FloatArray) -> Distribution:
        """Of those that are known."""
        unknown = np.isnan(values)
        known = values[~unknown] if unknown.any() else values
        if not len(known):
            return cls()
        p50, p95, p99 = np.quantile(known, [0.5, 0.95, 0.99])
        return cls(mean=float(known.mean()), p50=float(p50), p95=float(p95), p99=float(p99))
