"""Ridge regression with leave-one-out predictions in closed form.

One eigendecomposition serves every penalty: the prediction of each row by a model fitted without
it needs no second fit, ``y - (y - fitted) / (1 - leverage)``. The penalty and everything that is
later fitted on predictions use these, so no row ever judges itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.content import FloatArray

#: Penalties tried, relative to the mean eigenvalue of the kernel.
PENALTIES = tuple(float(p) for p in 10.0 ** np.arange(-2.0, 3.01, 0.25))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Column means and scales of the training rows; constant columns become 0.

    Each block of columns is scaled to the same total variance, times its weight, so that 2,048
    hashed words do not drown 48 figures.
    """

    mean: FloatArray
    scale: FloatArray

    def __call__(self, table: FloatArray) -> FloatArray:
        """Scaled rows."""
        scaled: FloatArray = (table - self.mean) * self.scale
        return scaled


def fit_scaling(blocks: Sequence[FloatArray], weights: Sequence[float]) -> Scaling:
    """Scaling of blocks that lie side by side."""
    means, scales = [], []
    for block, weight in zip(blocks, weights, strict=True):
        spread = block.std(axis=0)
        known = spread > 1e-9
        inverse = np.where(known, 1.0 / np.where(known, spread, 1.0), 0.0)
        means.append(block.mean(axis=0))
        scales.append(inverse * np.sqrt(weight / max(1, int(known.sum()))))
    return Scaling(mean=np.concatenate(means), scale=np.concatenate(scales))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """A fitted line and what it would have said of each training row without that row.

    Attributes
    ----------
    weights : (d,) or (d, k) per column of the scaled table; bias : scalar or (k,).
    left_out : (n,) or (n, k) leave-one-out predictions.
    error : mean squared error of these.
    """

    weights: FloatArray
    bias: FloatArray
    left_out: FloatArray
    penalty: float
    error: float


def fit_ridge(
    table: FloatArray,
    target: FloatArray,
    importance: FloatArray | None = None,
    penalties: Sequence[float] = PENALTIES,
) -> Ridge:
    """The ridge with the penalty of least leave-one-out error.

    Parameters
    ----------
    table : (n, d) scaled features. target : (n,) or (n, k).
    importance : (n,) weights of rows, for example how many answers a label averages.
    """
    n = len(table)
    w = np.ones(n) if importance is None else importance * n / importance.sum()
    root = np.sqrt(w)[:, None]
    goal = target.reshape(n, -1)
    # Weighted centring makes the intercept exact; it costs each row its share of the mean.
    centre = (w[:, None] * table).sum(axis=0) / n
    middle = (w[:, None] * goal).sum(axis=0) / n
    rows, aims = (table - centre) * root, (goal - middle) * root
    values, left, right = _decompose(rows)
    mean_value = float(values.sum() / max(1, min(n, table.shape[1]))) or 1.0
    projected = left.T @ aims
    best: Ridge | None = None
    for penalty in penalties:
        shrink = values / (values + penalty * mean_value)
        fitted = left @ (shrink[:, None] * projected)
        leverage = (left**2) @ shrink + root[:, 0] ** 2 / n
        gap = (aims - fitted) / np.maximum(1.0 - leverage, 1e-3)[:, None]
        error = float((gap**2).mean())
        if best is None or error < best.error:
            inverse = np.sqrt(values) / (values + penalty * mean_value)
            weights = right @ (inverse[:, None] * projected)
            best = Ridge(
                weights=weights,
                bias=middle - centre @ weights,
                left_out=goal - gap / root,
                penalty=penalty,
                error=error,
            )
    assert best is not None
    if target.ndim == 1:
        return Ridge(
            weights=best.weights[:, 0],
            bias=best.bias[0],
            left_out=best.left_out[:, 0],
            penalty=best.penalty,
            error=best.error,
        )
    return best


def _decompose(rows: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Squared singular values and both sides' vectors, by the smaller Gram matrix."""
    n, d = rows.shape
    if n <= d:
        values, left = np.linalg.eigh(rows @ rows.T)
        keep = values > values[-1] * 1e-10
        values, left = values[keep], left[:, keep]
        return values, left, rows.T @ left / np.sqrt(values)
    values, right = np.linalg.eigh(rows.T @ rows)
    keep = values > values[-1] * 1e-10
    values, right = values[keep], right[:, keep]
    return values, rows @ right / np.sqrt(values), right
