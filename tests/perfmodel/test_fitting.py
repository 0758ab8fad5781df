"""Fits of block times: the least of Huber's loss, and simple where the data tell no more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from swarmplan.perfmodel.fitting import fit_curve, fit_floored, fit_nonnegative

Floats = NDArray[np.float64]


def huber(predicted: Floats, measured: Floats) -> float:
    """Squares of relative errors up to 5 %, beyond that lines with the slope they have there."""
    errors = np.abs(predicted / measured - 1.0)
    near, far = errors[errors <= 0.05], errors[errors > 0.05]
    return float((near**2 / 2).sum() + (0.05 * far - 0.05**2 / 2).sum())


def noisy(seed: int, values: Floats) -> Floats:
    """Errors of 2 %, and some wild ones."""
    rng = np.random.default_rng(seed)
    wild = rng.random(len(values)) < 0.25
    found: Floats = values * np.where(
        wild, rng.uniform(0.5, 2.0, len(values)), rng.normal(1.0, 0.02, len(values))
    )
    return found


@given(st.integers(0, 10**6))
def test_no_coefficients_nearby_have_a_smaller_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = np.column_stack([np.ones(20), rng.uniform(0, 10, 20), rng.integers(0, 4, 20)])
    measured = noisy(seed, columns @ rng.choice([0.0, 1.0, 2.0], 3, p=[0.2, 0.5, 0.3]) + 0.1)
    fitted = fit_nonnegative(columns, measured)
    assert (fitted >= 0).all()
    least = huber(columns @ fitted, measured)
    # The loss is convex: where no small step helps, none does.
    for i, step in ((i, s) for i in range(3) for s in (-1e-3, 1e-3)):
        other = fitted.copy()
        other[i] = max(0.0, other[i] + step)
        assert least <= huber(columns @ other, measured) * (1 + 1e-5)


@given(st.integers(0, 10**6))
def test_the_split_into_flat_and_sloped_prompts_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens = np.repeat([1.0, 16.0, 64.0, 128.0, 512.0, 2048.0], 2)
    measured = noisy(seed, np.maximum(rng.uniform(0.2, 3.0), 0.1 + 0.01 * tokens))

    def curve(coefficients: Floats) -> Floats:
        floor, base, slope = coefficients
        found: Floats = np.maximum(floor, base + slope * tokens)
        return found

    losses = []
    for first in np.unique(tokens)[:-1]:
        flat, line = tokens < first, np.column_stack([np.ones(12), tokens])
        floor = fit_nonnegative(np.ones((flat.sum(), 1)), measured[flat]) if flat.any() else [0.0]
        sloped = fit_nonnegative(line[~flat], measured[~flat])
        losses.append(huber(curve(np.array([*floor, *sloped])), measured))
    assert huber(curve(fit_floored(tokens, measured)), measured) == pytest.approx(min(losses))


def test_terms_that_the_data_cannot_tell_apart_stay_zero() -> None:
    context = np.array([0.0, 100.0, 900.0])
    assert fit_floored(context, 2.0 * np.ones(3)).tolist() == pytest.approx([0.0, 2.0, 0.0])
    line = fit_floored(
        np.array([1.0, 10.0, 100.0, 1000.0]), np.array([3.0, 12.0, 102.0, 1002.0]), 2
    )
    assert line == pytest.approx([0.0, 2.0, 1.0, 0.0])


def test_what_bends_upwards_has_a_square() -> None:
    tokens = np.array([1.0, 10.0, 100.0, 1000.0, 3000.0])
    measured = np.maximum(40.0, 2 + tokens + 0.001 * tokens**2)
    assert fit_floored(tokens, measured, 2) == pytest.approx([40.0, 2.0, 1.0, 0.001])


def test_a_curve_never_falls_and_levels_out_what_would() -> None:
    rows = np.array([2.0, 2.0, 2.0, 4.0, 8.0, 16.0])
    more = np.array([-3.0, 1.0, 90.0, 5.0, 3.0, 6.0])
    assert fit_curve(rows, more) == ((2.0, 1.0), (4.0, 4.0), (8.0, 4.0), (16.0, 6.0))
    assert fit_curve(rows[:1], more[:1]) == ((2.0, 0.0),)


def test_prompts_on_one_line_have_no_flat_part() -> None:
    tokens = np.array([1.0, 100.0, 1000.0])
    assert fit_floored(tokens, 2 + tokens) == pytest.approx([0.0, 2.0, 1.0])
    assert fit_floored(tokens, np.maximum(50, 2 + tokens)) == pytest.approx([50.0, 2.0, 1.0])
