"""Quantiles learnt from finished requests: coverage, drift, correction of a text predictor."""

from __future__ import annotations

import numpy as np
import pytest

from swarmplan.perfmodel.length.distribution import LEVELS, LengthQuantiles
from swarmplan.perfmodel.length.online import OnlineQuantiles


def lengths(count: int, place: float, seed: int = 0) -> list[int]:
    """Log-normal token counts."""
    rng = np.random.default_rng(seed)
    return [max(1, int(np.exp(place + 0.6 * x))) for x in rng.normal(size=count)]


def test_a_model_that_nothing_is_known_of_gets_wide_quantiles() -> None:
    said = OnlineQuantiles().predict("new")
    assert said.tokens.shape == (1, len(LEVELS))
    assert said.at(0.95)[0] > 2 * said.at(0.5)[0]


@pytest.mark.parametrize("place", [3.0, 5.0, 6.5])
def test_quantiles_settle_and_cover(place: float) -> None:
    online = OnlineQuantiles()
    values = lengths(1_500, place)
    for tokens in values:
        online.observe("m", tokens)
    assert online.predict("m").at(0.5)[0] == pytest.approx(np.exp(place), rel=0.15)
    covered = online.coverage("m")
    assert covered[0.95] == pytest.approx(0.95, abs=0.02)
    assert covered[0.5] == pytest.approx(0.5, abs=0.05)
    assert online.drifts("m") == 0
    assert online.count("m") == 1_500
    assert online.coverage("other") == {}


def test_a_sudden_change_is_found_and_the_past_forgotten() -> None:
    online = OnlineQuantiles()
    for tokens in lengths(600, 4.0):
        online.observe("m", tokens)
    found = [online.observe("m", tokens) for tokens in lengths(200, 5.5, seed=1)]
    assert any(found)
    assert found.index(True) < 120
    assert online.predict("m").at(0.5)[0] == pytest.approx(np.exp(5.5), rel=0.25)


def test_a_text_predictor_that_is_off_is_moved_and_covers_again() -> None:
    rng = np.random.default_rng(2)
    online = OnlineQuantiles()
    widths = np.array([-1.0, -0.8, -0.4, 0.0, 0.4, 0.8, 1.0, 1.4])
    over = []
    for step in range(1_500):
        middle = rng.uniform(3.0, 6.0)
        base = LengthQuantiles(tokens=np.expm1(middle + widths)[None])
        tokens = int(np.exp(middle + 0.5 + 0.6 * rng.normal()))  # half a log unit longer
        if step >= 500:
            over.append(tokens > online.predict("m", base).at(0.95)[0])
        online.observe("m", tokens, base)
    assert np.mean(over) == pytest.approx(0.05, abs=0.02)
    late = online.predict("m", LengthQuantiles(tokens=np.expm1(5.0 + widths)[None]))
    assert late.at(0.5)[0] == pytest.approx(np.exp(5.5), rel=0.15)
