"""Quantiles learnt from finished requests: coverage, drift, correction of a text predictor."""

from __future__ import annotations

import numpy as np
import pytest

from swarmplan.perfmodel.length.distribution import LEVELS, LengthQuantiles, safe_quantiles
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


def shapes(kind: str, count: int, seed: int) -> list[int]:
    """Lengths cut at a limit, with runaways, in another unit, or short words."""
    rng = np.random.default_rng(seed)
    drawn = {
        "cut": np.minimum(np.exp(5.0 + rng.normal(size=count)), 511),
        "runaways": np.exp(4.0 + 0.5 * rng.normal(size=count) + 3.0 * (rng.random(count) < 0.03)),
        "long": rng.integers(5_000, 9_000, count),
        "words": rng.integers(1, 12, count),
    }[kind]
    return [max(1, int(x)) for x in drawn]


@pytest.mark.parametrize(
    ("kind", "least"), [("cut", 0.0), ("runaways", 0.025), ("long", 0.025), ("words", 0.0)]
)
def test_thirty_answers_reserve_no_more_than_their_constant_and_hold(
    kind: str, least: float
) -> None:
    ratios, over = [], []
    for seed in range(60):
        values = shapes(kind, 430, seed)
        online = OnlineQuantiles()
        for tokens in values[:30]:
            online.observe("m", tokens)
        said = float(online.predict("m").at(0.95)[0])
        ratios.append(said / safe_quantiles(np.array(values[:30], dtype=np.float64))[6])
        over.append(np.mean(np.array(values[30:]) > said))
        assert ratios[-1] <= 1.0 + 1e-9
    assert np.mean(ratios) <= 1.0
    # Where a tenth of all answers has the largest length, the right quantile is never exceeded.
    assert least <= np.mean(over) <= 0.075


def test_coverage_of_few_answers_moves_no_level() -> None:
    online = OnlineQuantiles()
    for tokens in lengths(59, 5.0):
        online.observe("m", tokens)
    assert online.known["m"].levels.tolist() == list(LEVELS)
    for tokens in lengths(5, 5.0, seed=1):
        online.observe("m", tokens)
    assert online.known["m"].levels.tolist() != list(LEVELS)
