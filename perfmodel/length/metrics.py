"""How good predicted lengths are: error, order, coverage, cost of the reservation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.content import FloatArray, IntArray
from .distribution import LengthQuantiles

#: Pairs of requests beyond this many are sampled.
MAX_PAIRED = 2_000
#: Models with fewer test observations are judged together, as one.
MIN_TEST = 5
#: Models with a median below this many tokens are not judged.
MIN_MEDIAN = 5.0
#: Nor are those whose answers are all of one length: mean error in tokens of the constant.
LEAST_ERROR = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Means over models; every figure is per model first, so that raw scales do not mix.

    Attributes
    ----------
    mae_ratio : mean absolute error over that of the constant median.
    tau : Kendall's tau-b between predicted and true lengths.
    tau_share : share of the models with tau of at least 0.30.
    pairwise : share of pairs put in the right order; ties of the prediction count half.
    overflow_90, overflow_95, overflow_99 : share of requests longer than the quantile.
    reserved_tokens : mean of the 95 % quantile.
    reserved_ratio : that over the constant 95 % quantile.
    models : those judged on their own.
    answers : test observations judged.
    """

    mae_ratio: float
    tau: float
    tau_share: float
    pairwise: float
    overflow_90: float
    overflow_95: float
    overflow_99: float
    reserved_tokens: float
    reserved_ratio: float
    models: int
    answers: int


def score(
    predicted: LengthQuantiles,
    constant: LengthQuantiles,
    model: IntArray,
    tokens: IntArray,
) -> Score:
    """Figures of a prediction on test observations.

    Parameters
    ----------
    constant : what the training observations of each model say without looking at the prompt.
    """
    point, base = predicted.at(0.5), constant.at(0.5)
    high = [predicted.at(q) for q in (0.9, 0.95, 0.99)]
    base_high = constant.at(0.95)
    truth = tokens.astype(np.float64)
    alone, together = _units(model, base)
    rows: list[tuple[float, ...]] = []
    judged = answers = 0
    for own in [*alone, together]:
        reference = float(np.abs(truth[own] - base[own]).mean()) if len(own) >= MIN_TEST else 0.0
        if reference < LEAST_ERROR:
            continue
        judged += own is not together
        answers += len(own)
        # Relative to its model's median, so that a group of models is not ordered by its models.
        # Within a bin all medians are equal and stay ties: the mean orders no better.
        tau, pairwise = kendall(point[own] / base[own], truth[own] / base[own])
        rows.append(
            (
                float(np.abs(truth[own] - point[own]).mean()) / reference,
                tau,
                float(tau >= 0.3),
                pairwise,
                *(float((truth[own] > h[own]).mean()) for h in high),
                float(high[1][own].mean()),
                float(high[1][own].mean() / max(base_high[own].mean(), 1.0)),
            )
        )
    found = np.array(rows).mean(axis=0).tolist() if rows else [float("nan")] * 9
    names = [n for n in Score.__slots__ if n not in ("models", "answers")]
    return Score(models=judged, answers=answers, **dict(zip(names, found, strict=True)))


def _units(model: IntArray, base: FloatArray) -> tuple[list[IntArray], IntArray]:
    """Test rows of each model that has enough, and those of all the others as one group."""
    alone: list[IntArray] = []
    rest = [np.zeros(0, dtype=np.int64)]
    for m in np.unique(model).tolist():
        own = np.flatnonzero((model == m) & (base >= MIN_MEDIAN))
        (alone if len(own) >= MIN_TEST else rest).append(own)
    return alone, np.concatenate(rest)


def kendall(predicted: FloatArray, truth: FloatArray, seed: int = 0) -> tuple[float, float]:
    """Kendall's tau-b, and the share of pairs in the right order (tied predictions half).

    Pairs whose true lengths are equal are left out of the second. Both are 0 and 0.5 when there
    is nothing to compare.
    """
    if len(truth) > MAX_PAIRED:
        chosen = np.random.default_rng(seed).choice(len(truth), MAX_PAIRED, replace=False)
        predicted, truth = predicted[chosen], truth[chosen]
    left = np.sign(predicted[:, None] - predicted[None, :])
    right = np.sign(truth[:, None] - truth[None, :])
    untied = float((right != 0).sum())
    agree = float((left * right).sum())
    size = np.sqrt(float((left != 0).sum()) * untied)
    tau = agree / size if size else 0.0
    return tau, 0.5 + 0.5 * agree / untied if untied else 0.5
