"""Neighbours of a placement: one change each, and always spans that fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.placement.search.neighbours import (
    FURTHEST,
    MOVES,
    SHARES,
    Spans,
    align,
    boundary,
    copy,
    neighbour,
    resize,
    shift,
    swap,
)

START = Spans(
    span=np.array([(0, 6), (6, 10), (6, 12), (0, 0)]),
    most=np.array([6, 4, 8, 3]),
    busy=np.array([1.0, 0.3, 0.6, 0.0]),
    length=12,
)


def changed(move: object, seed: int) -> Spans:
    spans = START._replace(span=START.span.copy())
    assert callable(move)
    move(spans, np.random.default_rng(seed))
    return spans


@given(st.integers(0, 2**32 - 1))
def test_every_span_lies_in_the_model_and_within_what_the_server_holds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    now = START
    for _ in range(20):
        now = neighbour(now, rng)
        size = now.span[:, 1] - now.span[:, 0]
        assert (now.span >= 0).all()
        assert (now.span <= 12).all()
        assert (size <= now.most).all()
        assert (size[:3] > 0).all()  # who hosts goes on hosting
    assert (START.span == [(0, 6), (6, 10), (6, 12), (0, 0)]).all()


def test_moves_have_shares_of_one_whole() -> None:
    assert len(MOVES) == len(SHARES)
    assert sum(SHARES) == pytest.approx(1.0)


def test_it_is_known_whether_every_block_is_hosted() -> None:
    assert START.covers
    assert not START._replace(span=np.array([(0, 6), (7, 12)])).covers
    assert not START._replace(span=np.array([(0, 6), (6, 11)])).covers


def test_copying_gives_a_server_the_span_of_another_cut_to_what_it_holds() -> None:
    seen = set()
    for seed in range(300):
        span = changed(copy, seed).span
        (rows,) = np.nonzero((span != START.span).any(axis=1))
        assert len(rows) <= 1
        seen |= {(int(j), *map(int, span[j])) for j in rows}
    assert (3, 0, 3) in seen  # the idle one takes the beginning of what the first one hosts
    assert (3, 9, 12) in seen  # and the end of what the third one hosts
    assert (2, 0, 6) in seen


def test_swapping_changes_two_servers() -> None:
    spans = [changed(swap, seed).span for seed in range(200)]
    assert any((s[0] == (6, 12)).all() and (s[2] == (0, 6)).all() for s in spans)


def test_a_boundary_moves_for_all_that_share_it() -> None:
    seen = {tuple(changed(boundary, seed).span[:3].reshape(-1).tolist()) for seed in range(300)}
    assert (0, 5, 5, 9, 5, 12) not in seen
    assert (0, 5, 6, 10, 5, 12) in seen  # the second one is full: it keeps its end
    assert (1, 7, 7, 10, 7, 12) not in seen
    assert (0, 6, 7, 10, 7, 12) in seen  # the first one is full


def test_a_span_moves_or_is_resized_by_a_few_blocks() -> None:
    for seed in range(200):
        moved, sized = changed(shift, seed).span, changed(resize, seed).span
        assert ((moved[:, 1] - moved[:, 0]) == (START.span[:, 1] - START.span[:, 0])).all()
        assert np.abs(moved - START.span).max() <= FURTHEST
        assert np.count_nonzero(sized != START.span) <= 2
        assert np.abs(sized - START.span).max() <= FURTHEST


def test_a_span_is_aligned_with_a_boundary_of_others() -> None:
    for seed in range(200):
        span = changed(align, seed).span
        (rows,) = np.nonzero((span != START.span).any(axis=1))
        for j in rows:
            assert set(span[j].tolist()) & set(START.boundaries().tolist())


def test_those_who_have_time_help_the_busy() -> None:
    counts = np.zeros(4, int)
    for seed in range(400):
        (rows,) = np.nonzero((changed(copy, seed).span != START.span).any(axis=1))
        counts[rows] += 1
    assert counts[3] > 3 * counts[0]
    shorter = [changed(resize, seed).span[0] for seed in range(400)]
    sizes = [end - start for start, end in shorter]
    assert sum(s < 6 for s in sizes) > 50
    idle = START._replace(busy=np.zeros(4), most=np.full(4, 12))
    grown = 0
    for seed in range(400):
        spans = idle._replace(span=START.span.copy())
        resize(spans, np.random.default_rng(seed))
        size = spans.span[:, 1] - spans.span[:, 0]
        grown += bool((size > START.span[:, 1] - START.span[:, 0]).any())
    assert grown > 100
