"""Fits of positive figures near expected ones: few points move what they show, the rest stays.

Levenberg-Marquardt on the logarithms, with a robust loss on the logarithm of the ratio between
what is predicted and what was measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..core.content import FloatArray

#: Relative error beyond which a point loses weight, as a multiple of the one that is expected.
OUTLYING = 2.0
_ITERATIONS, _NUDGE, _LONGEST = 60, 1e-4, 0.5


def fit_near(
    predict: Callable[[FloatArray], FloatArray],
    measured: FloatArray,
    expected: FloatArray,
    spread: float | FloatArray,
    noise: float,
) -> FloatArray:
    """Positive figures by which points are predicted, no farther from expected ones than needed.

    Parameters
    ----------
    predict : figures -> (points,) positive predictions.
    measured : (points,) positive.
    expected : (k,) positive.
    spread : by which factor, as a logarithm, a figure may well differ from the expected one; for
        all figures or (k,) each.
    noise : likewise, a prediction from what was measured.
    """
    centre = np.log(expected)

    def residuals(x: FloatArray) -> FloatArray:
        missed = np.log(predict(np.exp(x)) / measured)
        return np.concatenate([_robust(missed / noise), (x - centre) / spread])

    return np.exp(_minimise(residuals, centre))


def _robust(missed: FloatArray) -> FloatArray:
    """Residuals whose squares grow linearly beyond what is outlying (pseudo-Huber)."""
    loss = 2.0 * OUTLYING**2 * (np.sqrt(1.0 + (missed / OUTLYING) ** 2) - 1.0)
    return np.sign(missed) * np.sqrt(loss)


def _minimise(residuals: Callable[[FloatArray], FloatArray], x: FloatArray) -> FloatArray:
    """Least squares from a start; deterministic."""
    damping, found = 1e-2, residuals(x)
    for _ in range(_ITERATIONS):
        slopes = _slopes(residuals, x, found)
        normal, gradient = slopes.T @ slopes, slopes.T @ found
        for _ in range(8):
            damped = normal + damping * np.diag(np.diag(normal))
            step = np.clip(np.linalg.solve(damped, -gradient), -_LONGEST, _LONGEST)
            better = residuals(x + step)
            if better @ better < found @ found:
                break
            damping *= 4.0
        else:
            break
        gained = found @ found - better @ better
        x, found, damping = x + step, better, max(damping / 5.0, 1e-9)
        if gained < 1e-9 * (found @ found):
            break
    return x


def _slopes(
    residuals: Callable[[FloatArray], FloatArray], x: FloatArray, at: FloatArray
) -> FloatArray:
    columns = []
    for i in range(len(x)):
        nudged = x.copy()
        nudged[i] += _NUDGE
        columns.append((residuals(nudged) - at) / _NUDGE)
    return np.column_stack(columns)
