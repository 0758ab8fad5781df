"""Which drafts are kept: exact, whatever the draft model thinks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from swarmplan.swarm.judging import drawn, judge_greedy, judge_sampled

WEIGHTS = arrays(np.float64, 4, elements=st.floats(0, 1, width=16)).filter(lambda w: w.sum() > 0.1)


@given(st.lists(st.integers(0, 3), max_size=6), st.lists(st.integers(0, 3), min_size=7, max_size=7))
def test_greedy_drafts_are_kept_as_far_as_they_are_what_the_target_takes(
    drafts: list[int], own: list[int]
) -> None:
    right, token = judge_greedy(own, drafts)
    assert drafts[:right] == own[:right]
    assert right == len(drafts) or drafts[right] != own[right]
    assert token == own[right]


@given(WEIGHTS, WEIGHTS)
def test_one_drawn_token_is_distributed_as_the_target_says(p: np.ndarray, q: np.ndarray) -> None:
    """Summed over the drafts, and over a fine grid of luck."""
    p, q = p / p.sum(), q / q.sum()
    grid = (np.arange(200) + 0.5) / 200
    found = np.zeros(4)
    for draft in map(int, np.flatnonzero(q)):
        # The luck of the draft and that of the token are independent: each by itself is enough.
        kept = np.array(
            [judge_sampled(np.array([p, p]), q[None], [draft], np.array([u, 0.5]))[0] for u in grid]
        ).mean()
        found[draft] += q[draft] * kept
        if kept < 1:
            after = [
                judge_sampled(np.array([p, p]), q[None], [draft], np.array([1 - 1e-12, u]))[1]
                for u in grid
            ]
            found += q[draft] * (1 - kept) * np.bincount(after, minlength=4) / len(grid)
    assert found == pytest.approx(p, abs=0.02)


def test_several_drawn_tokens_are_distributed_as_the_target_alone_draws_them() -> None:
    """Passes of two drafts over a chain of four tokens, against the exact probabilities."""
    rng = np.random.default_rng(5)
    rows, guesses = rng.dirichlet(np.ones(3), 3), rng.dirichlet(np.ones(3), 3)
    count: dict[tuple[int, ...], int] = {}
    for _ in range(20_000):
        text = [0]
        while len(text) < 4:
            drafts: list[int] = []
            for _ in range(min(2, 3 - len(text))):
                drafts.append(int(rng.choice(3, p=guesses[([*text, *drafts])[-1]])))
            after = [*text[-1:], *drafts]
            right, token = judge_sampled(
                rows[after], guesses[after[:-1]], drafts, rng.random(len(after))
            )
            text += [*drafts[:right], token]
        count[tuple(text[1:4])] = count.get(tuple(text[1:4]), 0) + 1
    for tokens in itertools.product(range(3), repeat=3):
        exact = float(np.prod([rows[a, b] for a, b in itertools.pairwise((0, *tokens))]))
        spread = np.sqrt(exact * (1 - exact) / 20_000)
        assert abs(count.get(tokens, 0) / 20_000 - exact) < 4.5 * spread


@given(WEIGHTS, st.floats(0, 1, exclude_max=True))
def test_no_token_without_weight_is_drawn(weights: np.ndarray, luck: float) -> None:
    assert weights[drawn(weights, weights, luck)] > 0


def test_where_nothing_is_left_over_the_target_itself_draws() -> None:
    assert drawn(np.zeros(3), np.array([0.0, 1.0, 0.0]), 0.9) == 1
