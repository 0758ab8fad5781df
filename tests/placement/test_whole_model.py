"""Whole-model hosting and placements given by hand."""

from __future__ import annotations

import dataclasses

import pytest

from swarmplan.core.errors import HeuristicFailedError, ScenarioError
from swarmplan.core.problem import Problem, Span
from swarmplan.placement.rules.manual import manual
from swarmplan.placement.rules.whole_model import whole_model
from swarmplan.placement.sessions import task_of

#: Six blocks of 1000 bytes and one session of 22 tokens, 10 bytes each, on each of them.
NEED = 6 * (1_000 + 220)


def with_memory(problem: Problem, *sizes: int) -> Problem:
    servers = tuple(
        dataclasses.replace(s, memory_bytes=m) for s, m in zip(problem.servers, sizes, strict=True)
    )
    return dataclasses.replace(problem, servers=servers)


def pinned(problem: Problem, *spans: tuple[int, int] | None) -> Problem:
    servers = tuple(
        dataclasses.replace(s, pinned=Span(start=span[0], end=span[1]) if span else None)
        for s, span in zip(problem.servers, spans, strict=True)
    )
    return dataclasses.replace(problem, servers=servers)


def test_exactly_the_servers_with_room_for_all_blocks_and_a_session_host(tiny: Problem) -> None:
    placement = whole_model(with_memory(tiny, NEED, NEED - 1, 3 * NEED, 0))
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


def test_a_manual_placement_is_taken_as_it_is(tiny: Problem) -> None:
    placement = manual(pinned(tiny, (0, 4), (3, 6), None, (5, 6)))
    assert [placement.span(j) for j in range(4)] == [
        Span(start=0, end=4),
        Span(start=3, end=6),
        None,
        Span(start=5, end=6),
    ]
    assert placement.cache_bytes.tolist() == [2_000, 1_000, 0, 2_000]


def test_every_defect_of_a_manual_placement_is_listed(tiny: Problem) -> None:
    with pytest.raises(ScenarioError) as caught:
        manual(pinned(tiny, (0, 4), (2, 7), (0, 6), None))
    assert [(p.path, p.message) for p in caught.value.problems] == [
        ("servers[slow-0].span", "ends at 7, the model has 6 blocks"),
        ("servers[slow-0].span", "5 blocks, but at most 4 fit"),
        ("servers[slow-1].span", "6 blocks, but at most 4 fit"),
    ]


def test_spans_that_leave_a_gap_are_refused(tiny: Problem) -> None:
    with pytest.raises(ScenarioError, match="2 of 6 blocks have no server, the first is block 2"):
        manual(pinned(tiny, (0, 2), (4, 6), None, None))
