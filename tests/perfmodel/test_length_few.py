"""A model's quantiles from few answers: cheaper than the constant, and exceeded no more often."""

from __future__ import annotations

import numpy as np
import pytest

from swarmplan.core.content import FloatArray
from swarmplan.perfmodel.length.dataset import gather
from swarmplan.perfmodel.length.distribution import LEVELS, safe_quantiles
from swarmplan.perfmodel.length.few import CAPPED, Peers, learnt, plotted, steadied, told
from swarmplan.perfmodel.length.universal import Maps, adapt, fit_maps

Q95, MEDIAN = LEVELS.index(0.95), LEVELS.index(0.5)
NORMAL = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645, 2.326])


def peers_maps(effect: float = 0.5, seed: int = 0) -> tuple[Maps, np.random.Generator]:
    """Maps of 12 models whose log lengths follow the verbosity; a new model is drawn alike."""
    rng = np.random.default_rng(seed)
    u = rng.normal(0.0, 0.6, 200)
    rows = []
    for m in range(12):
        place = rng.normal(5.0, 0.4)
        logs = place + effect * u + 0.5 * rng.normal(size=len(u))
        rows += [(f"p{i}", f"m{m:02d}", int(np.exp(y))) for i, y in enumerate(logs)]
    given = gather(rows)
    return fit_maps(given, u[given.prompt]), rng


def judged(
    maps: Maps, rng: np.random.Generator, effect: float, few: int, tail: float = 0.0
) -> FloatArray:
    """MAE and q95 over the constant's, and overflow: means over 60 new models."""
    found = []
    for _ in range(60):
        place, spread = rng.normal(4.0, 1.0), rng.uniform(0.3, 0.9)
        u = rng.normal(0.0, 0.6, few + 400)
        noise = rng.normal(size=len(u)) + tail * rng.exponential(size=len(u))
        tokens = np.exp(place + effect * u + spread * noise).astype(np.int64)
        table = adapt(maps, u[:few], tokens[:few])
        said = maps.of_table(u[few:], table)
        truth, seen = tokens[few:], tokens[:few].astype(np.float64)
        usual = np.abs(truth - np.median(seen)).mean()
        found.append(
            (
                np.abs(truth - said.at(0.5)).mean() / usual,
                said.at(0.95).mean() / safe_quantiles(seen)[Q95],
                (truth > said.at(0.95)).mean(),
            )
        )
    means: FloatArray = np.mean(found, axis=0)
    return means


@pytest.mark.parametrize("tail", [0.0, 1.0])
def test_thirty_answers_of_a_model_of_another_kind_reserve_less_and_hold(tail: float) -> None:
    maps, rng = peers_maps()
    mae, reserved, overflow = judged(maps, rng, 0.5, 30, tail)
    assert mae < 0.97
    assert reserved < 0.95
    assert 0.03 <= overflow <= 0.07


def test_a_text_that_says_nothing_of_the_new_model_does_no_harm() -> None:
    maps, rng = peers_maps()
    mae, reserved, overflow = judged(maps, rng, 0.0, 30)
    assert mae < 1.03
    assert reserved < 1.0
    assert 0.03 <= overflow <= 0.07
    assert judged(maps, rng, 0.0, 300)[0] < 1.005


@pytest.mark.parametrize("count", [19, 30, 60, 200])
def test_a_reservation_is_on_average_never_above_the_constants(count: int) -> None:
    maps, rng = peers_maps()
    for _ in range(20):
        u = rng.normal(0.0, 0.6, count)
        tokens = np.exp(rng.uniform(2.0, 7.0) + 0.3 * rng.uniform(-1, 1, count)).astype(np.int64)
        said = maps.of_table(u, adapt(maps, u, tokens))
        constant = safe_quantiles(np.log1p(tokens.astype(np.float64)))
        for level in CAPPED:
            k = LEVELS.index(level)
            if told(count, level):
                mean = (said.tokens[:, k] + 1.0).mean()
                assert mean <= np.exp(constant[k]) * (1 + 1e-6)


def test_what_so_few_answers_cannot_tell_errs_on_the_safe_side() -> None:
    maps, rng = peers_maps()
    for few in (5, 10):
        assert judged(maps, rng, 0.5, few)[2] <= 0.07
    assert not told(18, 0.95)
    assert told(19, 0.95)
    rest = np.tile(np.arange(10.0)[:, None], (1, len(LEVELS)))
    peers = np.full(len(LEVELS), 20.0)
    found = steadied(rest, peers, np.array(LEVELS))
    assert found[Q95] == 20.0
    assert found[MEDIAN] == pytest.approx((10 * 4.5 + 5 * 20) / 15)


def test_one_answer_is_enough_to_begin_with_and_equal_answers_do_no_harm() -> None:
    maps, _ = peers_maps()
    for tokens in ([700], [700] * 2, [700] * 30, [0] * 30, [1, 10_000_000]):
        table = adapt(maps, np.zeros(len(tokens)), np.array(tokens))
        assert np.isfinite(table).all()
        assert (np.diff(table, axis=0) >= 0).all()
        assert (np.diff(table, axis=1) >= 0).all()
    equal = maps.of_table(np.zeros(1), adapt(maps, np.zeros(30), np.full(30, 700)))
    assert equal.at(0.5)[0] == pytest.approx(700, rel=0.1)
    assert equal.at(0.95)[0] == pytest.approx(700, rel=1e-6)


def test_ranks_lie_where_the_median_of_the_sample_quantile_is_right() -> None:
    rng = np.random.default_rng(3)
    draws = rng.uniform(size=(4_000, 30))
    levels = np.array(LEVELS)
    found = np.median([plotted(np.tile(d[:, None], (1, 8)), levels) for d in draws], axis=0)
    assert found[:-1] == pytest.approx(levels[:-1], abs=0.005)
    same = np.quantile(draws[0], 0.95, method="median_unbiased")
    assert plotted(np.tile(draws[0][:, None], (1, 8)), levels)[Q95] == pytest.approx(same)


def test_a_runaway_moves_neither_what_the_text_does_nor_the_reservation_much() -> None:
    rng = np.random.default_rng(4)
    text = rng.normal(0.0, 0.4, 30)
    logs = 5.0 + text + 0.3 * rng.normal(size=30)
    said = np.tile(text[:, None], (1, len(LEVELS)))
    found, share = learnt(logs, said, 5.0 + 0.4 * NORMAL, np.array(LEVELS))
    logs[0] = np.log(60_000)
    moved, other = learnt(logs, said, 5.0 + 0.4 * NORMAL, np.array(LEVELS))
    assert share == pytest.approx(1.0, abs=0.25)
    assert other == pytest.approx(share, abs=0.2)
    assert moved[Q95] - found[Q95] < 0.5 * (logs[0] - found[Q95])


def test_a_model_that_spreads_more_is_moved_more_by_the_text() -> None:
    pooled = np.array([NORMAL - 0.5, NORMAL + 0.5])
    peers = Peers(place=5.0, width=0.5, pooled=pooled)
    rng = np.random.default_rng(5)
    at = pooled[rng.integers(0, 2, 400)]
    z = (at[:, MEDIAN] + rng.normal(size=400)) / np.sqrt(1.25)
    narrow, wide = (peers.table(5.0 + spread * z, at) for spread in (0.3, 0.9))
    step = [table[1, MEDIAN] - table[0, MEDIAN] for table in (narrow, wide)]
    assert step[1] == pytest.approx(3 * step[0], rel=0.1)
