"""One figure over many requests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.content import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Mean and quantiles of one figure over the completed requests; nan where none completed."""

    mean: float = math.nan
    p50: float = math.nan
    p95: float = math.nan
    p99: float = math.nan

    @classmethod
    def of(cls, values: FloatArray, *, spent: bool = False) -> Distribution:
        """Of those that are known.

        Parameters
        ----------
        spent : nobody needs ``values`` any more: they may be put in another order.
        """
        unknown = np.isnan(values)
        some = bool(unknown.any())
        known = values[~unknown] if some else values
        del unknown, values
        if not len(known):
            return cls()
        mean = float(known.mean())
        p50, p95, p99 = np.quantile(known, [0.5, 0.95, 0.99], overwrite_input=spent or some)
        return cls(mean=mean, p50=float(p50), p95=float(p95), p99=float(p99))


def picked(column: NDArray[Any], done: NDArray[np.bool_]) -> NDArray[Any]:
    """Some of a column; itself where they are all: long columns are not copied for nothing."""
    return column if done.all() else column[done]
