"""Whole-model hosting."""

from __future__ import annotations

import dataclasses

import pytest

from swarmplan.core.errors import HeuristicFailedError
from swarmplan.core.problem import Problem
from swarmplan.placement.rules.whole_model import whole_model
from swarmplan.placement.sessions import task_of

#: Six blocks of 1000 bytes and one session of 22 tokens, 10 bytes each, on each of them.
NEED = 6 * (1_000 + 220)


def with_memory(problem: Problem, *sizes: int) -> Problem:
    servers = tuple(
        dataclasses.replace(s, memory_bytes=m) for s, m in zip(problem.servers, sizes, strict=True)
    )
    return dataclasses.replace(problem, servers=servers)


def test_exactly_the_servers_with_room_for_all_blocks_and_a_session_host(tiny: Problem) -> None:
    placement = whole_model(task_of(with_memory(tiny, NEED, NEED - 1, 3 * NEED, 0)))
    assert placement.num_blocks.tolist() == [6, 0, 6, 0]
    assert placement.cache_bytes.tolist() == [NEED - 6_000, 0, 3 * NEED - 6_000, 0]


def test_a_cap_on_blocks_keeps_a_large_server_idle(tiny: Problem) -> None:
    problem = with_memory(tiny, NEED, NEED, 0, 0)
    capped = dataclasses.replace(problem.servers[0], max_blocks=5)
    problem = dataclasses.replace(problem, servers=(capped, *problem.servers[1:]))
    assert whole_model(task_of(problem)).num_blocks.tolist() == [0, 6, 0, 0]


def test_without_a_large_server_the_largest_is_named(tiny: Problem) -> None:
    with pytest.raises(HeuristicFailedError, match="no server can hold all 6 blocks"):
        whole_model(task_of(tiny))


def test_blocks_that_differ_are_weighed_one_by_one(tiny: Problem) -> None:
    each = (500, 1_500, 1_000, 2_000, 400, 600)
    servers = tuple(
        dataclasses.replace(s, block_bytes=each)
        for s in with_memory(tiny, NEED, NEED - 1, 0, 0).servers
    )
    placement = whole_model(task_of(dataclasses.replace(tiny, servers=servers)))
    assert placement.num_blocks.tolist() == [6, 0, 0, 0]
