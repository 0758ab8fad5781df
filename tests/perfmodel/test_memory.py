"""Integer memory rules."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.memory import (
    blocks_that_fit,
    max_sessions,
    memory_excess_bytes,
    sessions_for_load,
    sessions_that_fit,
)


def test_floors_are_taken_on_whole_bytes(tiny: Problem) -> None:
    # (1.7 - 1) / 0.1 must be 7 slots, not the 6 of floating point.
    server = dataclasses.replace(tiny.servers[0], memory_bytes=1_700, block_bytes=1_000)
    model = dataclasses.replace(tiny.model, cache_bytes_per_token=100)
    planning = dataclasses.replace(tiny.planning, session_tokens=1)
    problem = dataclasses.replace(
        tiny, servers=(server, *tiny.servers[1:]), model=model, planning=planning
    )
    assert sessions_that_fit(problem, blocks_that_fit(CostModel.of(problem), 7)).tolist()[0] == 7
    assert blocks_that_fit(CostModel.of(problem), 8)[0] == 0


@given(sessions=st.integers(1, 50))
def test_the_blocks_that_fit_leave_room_for_the_sessions(tiny: Problem, sessions: int) -> None:
    blocks = blocks_that_fit(CostModel.of(tiny), sessions)
    used = blocks * (tiny.block_bytes + sessions * tiny.session_bytes)
    assert (used <= tiny.memory_bytes).all()
    assert (sessions_that_fit(tiny, blocks)[blocks > 0] >= sessions).all()


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


@given(seed=st.integers(0, 10**6), mixed=st.booleans())
def test_up_to_the_largest_number_of_sessions_all_blocks_fit(
    make_problem: Callable[..., Problem], seed: int, mixed: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=6, length=4)
    if mixed:
        servers = tuple(
            dataclasses.replace(s, block_bytes=int(rng.choice([500, 1_000, 2_000])))
            for s in problem.servers
        )
        problem = dataclasses.replace(problem, servers=servers)
    most = max_sessions(CostModel.of(problem))
    for sessions in {1, most // 2, most} - {0}:
        if sessions <= most:
            assert (
                blocks_that_fit(CostModel.of(problem), sessions).sum() >= problem.model.num_blocks
            )
    per_block = problem.block_bytes + (most + 1) * problem.session_bytes
    assert (problem.memory_bytes / per_block).sum() < problem.model.num_blocks + 6


@given(seed=st.integers(0, 10**6), sessions=st.integers(1, 9))
def test_one_block_more_would_not_fit(
    make_problem: Callable[..., Problem], seed: int, sessions: int
) -> None:
    problem = make_problem(np.random.default_rng(seed))
    blocks = blocks_that_fit(CostModel.of(problem), sessions)
    per_block = problem.block_bytes + sessions * problem.session_bytes
    full = blocks == problem.model.num_blocks
    assert ((blocks + 1) * per_block > problem.memory_bytes)[~full].all()
    assert (blocks_that_fit(CostModel.of(problem), sessions + 1) <= blocks).all()


def test_memory_in_excess_is_counted_in_bytes(tiny: Problem) -> None:
    placement = CostModel.of(tiny).placed([(0, 6), (0, 4), (0, 0), (0, 3)])
    assert memory_excess_bytes(tiny, placement).tolist() == [0, 0, -4_000, 0]
    over = dataclasses.replace(placement, cache_bytes=placement.cache_bytes + 7)
    assert memory_excess_bytes(tiny, over).tolist() == [7, 7, -3_993, 7]
