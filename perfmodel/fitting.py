"""Robust non-negative fits of block times: relative errors, at most three coefficients."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ..core.content import FloatArray

HUBER_SHARE = 0.05  # relative residuals beyond this lose weight
_ITERATIONS = 30


def fit_nonnegative(
    columns: FloatArray, measured: FloatArray, known: FloatArray | float = 0.0
) -> FloatArray:
    """Coefficients >= 0 of a linear formula, by Huber's loss on the relative residuals.

    Parameters
    ----------
    columns : (points, k) regressors, k <= 3.
    measured : (points,) positive values.
    known : (points,) what the formula has beside its coefficients.

    Returns
    -------
    (k,) coefficients.

    Notes
    -----
    Iteratively reweighted least squares; every step is solved exactly by trying all sets of
    coefficients that are not zero. Of equally good sets the smallest wins, so a formula with
    more terms than the data can tell apart stays simple.
    """
    scaled, target = columns / measured[:, None], 1.0 - known / measured
    weights = np.ones(len(measured))
    best = np.zeros(columns.shape[1])
    for _ in range(_ITERATIONS):
        previous = best
        best = _least_squares(scaled, target, weights)
        residual = np.abs(scaled @ best - target)
        weights = np.minimum(1.0, HUBER_SHARE / np.maximum(residual, HUBER_SHARE))
        if np.allclose(best, previous, rtol=1e-12, atol=0.0):
            break
    return best


def _least_squares(scaled: FloatArray, aim: FloatArray, weights: FloatArray) -> FloatArray:
    """Non-negative minimiser of ``sum w (scaled @ x - aim)^2`` by enumeration of supports."""
    root = np.sqrt(weights)
    rows, target = scaled * root[:, None], aim * root
    count = scaled.shape[1]
    best, best_loss = np.zeros(count), float(target @ target)
    for size in range(1, count + 1):
        for support in combinations(range(count), size):
            x, *_ = np.linalg.lstsq(rows[:, support], target, rcond=None)
            if (x < 0).any():
                continue
            loss = float(np.sum((rows[:, support] @ x - target) ** 2))
            if loss < best_loss * (1.0 - 1e-9) - 1e-24:
                best, best_loss = np.zeros(count), loss
                best[list(support)] = x
    return best


def fit_floored(tokens: FloatArray, measured: FloatArray, degree: int = 1) -> FloatArray:
    """(2 + degree,) floor, base, per token (squared) of ``max(floor, base + slope tokens + ...)``.

    Every split of the lengths into a flat and a sloped part is tried, at least two lengths sloped;
    the split with the smallest Huber loss over all points wins, the fewest flat points among
    equals.
    """
    lengths = np.unique(tokens)
    columns = np.column_stack([tokens**power for power in range(degree + 1)])
    best, best_loss = np.zeros(2 + degree), np.inf
    for flat_count in range(max(1, len(lengths) - 1)):
        flat = tokens < lengths[flat_count]
        line = fit_nonnegative(columns[~flat], measured[~flat])
        floor = 0.0
        if flat.any():
            floor = float(fit_nonnegative(np.ones((int(flat.sum()), 1)), measured[flat])[0])
        predicted = np.maximum(floor, columns @ line)
        loss = _huber(predicted / measured - 1.0)
        if loss < best_loss * (1.0 - 1e-6) - 1e-15:
            best, best_loss = np.array([floor, *line]), loss
    return best


def fit_curve(rows: FloatArray, more: FloatArray) -> tuple[tuple[float, float], ...]:
    """Knots of a curve that never falls, from what steps of so many rows take more than one.

    Each knot is the median at that number of rows; where one is below those before, neighbours are
    levelled out.
    """
    knots = [[float(r), max(0.0, float(np.median(more[rows == r]))), 1.0] for r in np.unique(rows)]
    level: list[list[float]] = []
    for _, value, weight in knots:
        level.append([value, weight])
        while len(level) > 1 and level[-2][0] > level[-1][0]:
            (a, w), (b, v) = level[-2:]
            level[-2:] = [[(a * w + b * v) / (w + v), w + v]]
    values = [value for value, weight in level for _ in range(int(weight))]
    return tuple((knot[0], value) for knot, value in zip(knots, values, strict=True))


def fit_steps(
    clients: FloatArray, rtt: FloatArray, work: FloatArray, measured: FloatArray
) -> FloatArray:
    """(2,) delay o and serial overhead s of a hop, from clients that step at once.

    Equal clients of one server that takes one task at a time step every
    ``max(rtt + o + s + work, clients (s + work))``: the server has a pause, or it has none.

    Parameters
    ----------
    clients, rtt, work, measured : (points,) clients; round trip; blocks' time of a step; time per
        token.

    Notes
    -----
    The more a point's line is at work, the less of a pause there is: points are split in that
    order, and every split is tried.
    """
    load = clients * work / (rtt + work)
    best, best_loss = np.zeros(2), np.inf
    for bound in (np.inf, *np.unique(load)):
        full = load >= bound
        columns = np.column_stack([~full, np.where(full, clients, 1.0)])
        known = np.where(full, clients * work, rtt + work)
        fitted = fit_nonnegative(columns, measured, known)
        paused = rtt + work + fitted.sum()
        predicted = np.maximum(paused, clients * (work + fitted[1]))
        loss = _huber(predicted / measured - 1.0)
        if loss < best_loss * (1.0 - 1e-6) - 1e-15:
            best, best_loss = fitted, loss
    return best


def _huber(residual: FloatArray) -> float:
    size = np.abs(residual)
    loss = np.where(size <= HUBER_SHARE, size**2 / 2.0, HUBER_SHARE * (size - HUBER_SHARE / 2.0))
    return float(loss.sum())
