"""Integer memory rules."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.content import IntArray
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem, per_block
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.memory import (
    blocks_alone,
    blocks_of_cache,
    blocks_that_fit,
    least_block_bytes,
    max_sessions,
    most_sessions_beside_a_block,
    sessions_for_load,
    sessions_on,
    sessions_that_fit,
    slots_beside,
    whole_model_bytes,
)
from swarmplan.tests.placement.offline import uneven

Make = Callable[..., Problem]


def need_bytes(problem: Problem, tokens: int) -> IntArray:
    """(n, L) weights of every block with the cache of so many tokens."""
    length = problem.model.num_blocks
    weights = [per_block(s.block_bytes, length) for s in problem.servers]
    cache = per_block(problem.model.cache_bytes_per_token, length)
    need: IntArray = np.array(weights) + tokens * np.array(cache)
    return need


def windows(row: IntArray, count: int) -> IntArray:
    """Sums of so many consecutive entries, wherever they lie."""
    return np.array([row[i : i + count].sum() for i in range(len(row) - count + 1)])


def from_the_first_block(cost: CostModel, blocks: IntArray) -> Placement:
    """So many blocks at every server, from block 0 on."""
    return cost.placed([(0, int(m)) for m in blocks])


def test_floors_are_taken_on_whole_bytes(tiny: Problem) -> None:
    # (1.7 - 1) / 0.1 must be 7 slots, not the 6 of floating point.
    server = dataclasses.replace(tiny.servers[0], memory_bytes=1_700, block_bytes=1_000)
    model = dataclasses.replace(tiny.model, cache_bytes_per_token=100)
    planning = dataclasses.replace(tiny.planning, session_tokens=1)
    problem = dataclasses.replace(
        tiny, servers=(server, *tiny.servers[1:]), model=model, planning=planning
    )
    cost = CostModel.of(problem)
    placement = from_the_first_block(cost, blocks_that_fit(cost, 7))
    assert sessions_that_fit(cost, placement).tolist()[0] == 7
    assert sessions_on(cost, 0, 0, 1) == 7
    assert blocks_that_fit(cost, 8)[0] == 0


@given(sessions=st.integers(1, 50))
def test_the_blocks_that_fit_leave_room_for_the_sessions(tiny: Problem, sessions: int) -> None:
    cost = CostModel.of(tiny)
    blocks = blocks_that_fit(cost, sessions)
    used = blocks * (1_000 + sessions * 22 * 10)
    assert (used <= tiny.memory_bytes).all()
    fitting = sessions_that_fit(cost, from_the_first_block(cost, blocks))
    assert (fitting[blocks > 0] >= sessions).all()


@pytest.mark.parametrize(
    ("rate", "response", "most", "expected"),
    [(0.5, 62.858473, 196, 37), (0.5, 62.858473, 20, 20), (0.001, 1.0, 10, 1), (1.0, 6.25, 99, 9)],
)
def test_target_sessions_follow_the_formula(
    rate: float, response: float, most: int, expected: int
) -> None:
    assert sessions_for_load(rate, response, 1.0, most) == expected


def test_max_sessions_is_zero_when_the_weights_alone_do_not_fit(tiny: Problem) -> None:
    servers = tuple(dataclasses.replace(s, memory_bytes=1_000) for s in tiny.servers)
    assert max_sessions(CostModel.of(dataclasses.replace(tiny, servers=servers))) == 0


@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["alike", "mixed", "uneven"]))
def test_up_to_the_largest_number_of_sessions_all_blocks_fit(
    make_problem: Make, seed: int, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=6, length=4)
    if kind == "mixed":
        servers = tuple(
            dataclasses.replace(s, block_bytes=int(rng.choice([500, 1_000, 2_000])))
            for s in problem.servers
        )
        problem = dataclasses.replace(problem, servers=servers)
    if kind == "uneven":
        problem = uneven(problem, rng)
    cost = CostModel.of(problem)
    most = max_sessions(cost)
    for sessions in {1, most // 2, most} - {0}:
        if sessions <= most:
            assert blocks_that_fit(cost, sessions).sum() >= problem.model.num_blocks
    parts = [
        (problem.memory_bytes / need_bytes(problem, sessions * 20).max(axis=1)).sum()
        for sessions in (most, most + 1)
    ]
    assert parts[1] < problem.model.num_blocks + 6
    assert not most or parts[0] >= problem.model.num_blocks + 6


@given(seed=st.integers(0, 10**6), sessions=st.integers(1, 9))
def test_one_block_more_would_not_fit(make_problem: Make, seed: int, sessions: int) -> None:
    problem = make_problem(np.random.default_rng(seed))
    cost = CostModel.of(problem)
    blocks = blocks_that_fit(cost, sessions)
    per_block = 1_000 + sessions * 20 * 10
    full = blocks == problem.model.num_blocks
    assert ((blocks + 1) * per_block > problem.memory_bytes)[~full].all()
    assert (blocks_that_fit(cost, sessions + 1) <= blocks).all()


def test_memory_beside_the_weights_is_counted_in_bytes(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    start, end = np.zeros(4, np.int64), np.array([6, 4, 0, 3])
    assert cost.room_bytes(start, end).tolist() == [0, 0, 4_000, 0]
    assert cost.room_bytes(start, end + 1).tolist() == [-1_000, -1_000, 3_000, -1_000]


@given(seed=st.integers(0, 10**6), sessions=st.integers(0, 9))
def test_where_blocks_differ_so_many_fit_wherever_they_lie_and_alone_somewhere(
    make_problem: Make, seed: int, sessions: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng), rng)
    cost = CostModel.of(problem)
    anywhere = blocks_that_fit(cost, sessions)
    somewhere = blocks_alone(cost, sessions * 20)
    need = need_bytes(problem, sessions * 20)
    for j, memory in enumerate(problem.memory_bytes.tolist()):
        worst = [windows(need[j], m).max() for m in range(1, 7)]
        best = [windows(need[j], m).min() for m in range(1, 7)]
        assert anywhere[j] == sum(w <= memory for w in worst)
        assert somewhere[j] == sum(w <= memory for w in best)


@given(seed=st.integers(0, 10**6))
def test_sessions_are_counted_on_the_very_blocks_of_a_span(
    make_problem: Make, make_placement: Callable[..., Placement], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng), rng)
    cost, placement = CostModel.of(problem), make_placement(rng, problem)
    found = sessions_that_fit(cost, placement).tolist()
    weights, cache = need_bytes(problem, 0), need_bytes(problem, 20) - need_bytes(problem, 0)
    for j, (start, end) in enumerate(zip(placement.start, placement.end, strict=True)):
        left = int(problem.memory_bytes[j] - weights[j, start:end].sum())
        session = int(cache[j, start:end].sum())
        assert found[j] == (left // session if end > start else 0)
        if end > start:
            assert found[j] == sessions_on(cost, j, int(start), int(end))


@given(seed=st.integers(0, 10**6), unequal=st.booleans(), tokens=st.integers(1, 300))
def test_free_memory_holds_a_cache_on_so_many_blocks_wherever_they_lie(
    make_problem: Make, seed: int, unequal: bool, tokens: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    problem = uneven(problem, rng) if unequal else problem
    free = rng.integers(0, 20_000, problem.num_servers)
    held = blocks_of_cache(CostModel.of(problem), free, [(1, tokens)])
    each = need_bytes(problem, tokens)[0] - need_bytes(problem, 0)[0]
    for count, room in zip(held.tolist(), free.tolist(), strict=True):
        fitting = [m for m in range(1, 7) if windows(each, m).max() <= room]
        assert min(count, 6) == len(fitting)


def test_what_does_not_even_hold_its_weights_holds_no_session(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    # Memory of 6, 4, 4 and 3 kB, blocks of 1 kB, sessions of 220 bytes a block.
    assert [sessions_on(cost, 3, 0, m) for m in (1, 2, 3, 4)] == [9, 2, 0, 0]
    assert most_sessions_beside_a_block(cost) == 5_000 // 220
    small = tuple(dataclasses.replace(s, memory_bytes=900) for s in tiny.servers)
    poor = CostModel.of(dataclasses.replace(tiny, servers=small))
    assert most_sessions_beside_a_block(poor) == 0
    assert slots_beside(poor, 220)[0].tolist() == [4, -1, -5, -10, -15, -19, -24]
    assert whole_model_bytes(cost).tolist() == [6 * 1_220] * 4


@given(seed=st.integers(0, 10**6), tokens=st.integers(1, 60))
def test_no_run_of_blocks_leaves_more_slots_than_are_counted_beside_it(
    make_problem: Make, seed: int, tokens: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng), rng)
    cost = CostModel.of(problem)
    slots = slots_beside(cost, least_block_bytes(cost, tokens))
    weights = need_bytes(problem, 0)
    each = (need_bytes(problem, tokens) - weights)[0]
    for j, memory in enumerate(problem.memory_bytes.tolist()):
        for count in range(1, 7):
            left = memory - int(windows(weights[j], count).min())
            assert slots[j, count] == left // int(each.min())
