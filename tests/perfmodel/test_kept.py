"""What sessions keep: min(T, window) tokens and a state, block by block."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import ModelSpec, Problem, Timing, per_block
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.kept import ENDLESS_TOKENS, MOST_BYTES, Kept

MODEL = ModelSpec(
    name="windows",
    num_blocks=4,
    hidden_size=8,
    block_bytes=100,
    cache_bytes_per_token=(10, 10, 0, 7),
    window_tokens=(None, 5, None, 5),
    state_bytes=(0, 0, 900, 30),
    activation_bytes_per_token=16,
)


def by_hand(model: ModelSpec, tokens: int, start: int, end: int) -> int:
    figures = zip(
        per_block(model.cache_bytes_per_token, model.num_blocks),
        per_block(model.window_tokens, model.num_blocks),
        per_block(model.state_bytes, model.num_blocks),
        strict=True,
    )
    total = 0
    for each, window, state in [*figures][start:end]:
        seen = tokens if window is None else min(tokens, window)
        total += each * seen + (state if tokens else 0)
    return total


def random_model(rng: np.random.Generator, length: int = 6) -> ModelSpec:
    kinds = [(10, None, 0), (10, int(rng.integers(1, 40)), 0), (0, None, 77), (3, 9, 5)]
    each = [kinds[i] for i in rng.integers(0, len(kinds), length)]
    return ModelSpec(
        name="windows",
        num_blocks=length,
        hidden_size=8,
        block_bytes=1_000,
        cache_bytes_per_token=tuple(kv for kv, _, _ in each),
        window_tokens=tuple(window for _, window, _ in each),
        state_bytes=tuple(state for _, _, state in each),
        activation_bytes_per_token=16,
    )


@given(seed=st.integers(0, 10**6), tokens=st.integers(0, 100))
def test_runs_are_the_sum_over_their_blocks(seed: int, tokens: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng)
    kept = Kept(model)
    start, end = sorted(rng.choice(7, 2, replace=False).tolist())
    assert kept.bytes(tokens, start, end) == by_hand(model, tokens, start, end)
    assert kept.ramp(tokens)[end] == by_hand(model, tokens, 0, end)
    pair = kept.together([(2, tokens), (3, 7)], MOST_BYTES)
    both = 2 * by_hand(model, tokens, start, end) + 3 * by_hand(model, 7, start, end)
    assert pair(0, start, end) == both


@given(seed=st.integers(0, 10**6), pool=st.integers(0, 3_000))
def test_so_many_tokens_are_held_as_the_pool_has_room_for(seed: int, pool: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng)
    start, end = sorted(rng.choice(7, 2, replace=False).tolist())
    tokens = Kept(model).tokens(pool, start, end)
    assert by_hand(model, tokens, start, end) <= pool
    if tokens < ENDLESS_TOKENS:
        assert by_hand(model, tokens + 1, start, end) > pool


@given(seed=st.integers(0, 10**6), tokens=st.integers(1, 60), free=st.integers(0, 2_000))
def test_a_session_enters_from_the_first_block_that_its_pool_allows(
    tiny: Problem, seed: int, tokens: int, free: int
) -> None:
    model = random_model(np.random.default_rng(seed))
    cost = CostModel.of(replace(tiny, model=model))
    for end in range(1, 7):
        first = int(cost.earliest_block(tokens, free, end))
        assert by_hand(model, tokens, first, end) <= free
        assert not first or by_hand(model, tokens, first - 1, end) > free


def test_a_window_that_is_full_and_a_state_make_no_multiple() -> None:
    kept = Kept(MODEL)
    assert (kept.proportional, kept.alike) == (False, False)
    assert [kept.bytes(t, 0, 4) for t in (1, 5, 6, 100)] == [957, 1065, 1075, 2015]
    assert kept.bytes(0, 0, 4) == 0
    assert kept.tokens(964, 2, 4) == 4
    assert kept.tokens(965, 2, 4) == ENDLESS_TOKENS


def test_more_than_any_memory_is_counted_no_further() -> None:
    kept = Kept(replace(MODEL, cache_bytes_per_token=10**7, window_tokens=None))
    assert kept.together([(10**6, 10**7)], 10**12)(0, 0, 4) == 4 * (10**12 + 1)
    assert kept.together([(10**6, 10**7)], 2**62)(0, 0, 1) == MOST_BYTES + 1


@pytest.mark.parametrize(
    "change",
    [
        {"state_bytes": (0, 0, 0, 30)},
        {"window_tokens": 0},
        {"state_bytes": -1},
        {"cache_bytes_per_token": (1, 2)},
    ],
)
def test_a_block_keeps_something(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be positive|figures for"):
        replace(MODEL, **change)  # type: ignore[arg-type]


def test_blocks_that_are_alike_have_one_model() -> None:
    each = replace(MODEL, window_tokens=None, state_bytes=1).each_block()
    assert each[0] is each[1]
    assert [m.cache_bytes_per_token for m in each] == [10, 10, 0, 7]
    assert all((m.num_blocks, m.state_bytes) == (1, 1) for m in each)
    assert Timing(decode_base_s=1.0).window_tokens == np.inf


def test_bytes_stay_whole_numbers(tiny: Problem) -> None:
    need = CostModel.of(tiny).weights_and_cache([(3, 2**52 + 1)], 2**53)
    assert need(0, 0, 1) == 1_000 + min(30 * (2**52 + 1), 2**53 + 1)
    assert np.asarray(need.each).dtype == np.int64
