"""Placements given by hand."""

from __future__ import annotations

import dataclasses

import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.core.problem import Problem, Span
from swarmplan.placement.rules.manual import manual
from swarmplan.placement.sessions import task_of


def pinned(problem: Problem, *spans: tuple[int, int] | None) -> Problem:
    servers = tuple(
        dataclasses.replace(s, pinned=Span(start=span[0], end=span[1]) if span else None)
        for s, span in zip(problem.servers, spans, strict=True)
    )
    return dataclasses.replace(problem, servers=servers)


def test_a_manual_placement_is_taken_as_it_is(tiny: Problem) -> None:
    placement = manual(task_of(pinned(tiny, (0, 4), (3, 6), None, (5, 6))))
    assert [placement.span(j) for j in range(4)] == [
        Span(start=0, end=4),
        Span(start=3, end=6),
        None,
        Span(start=5, end=6),
    ]
    assert placement.cache_bytes.tolist() == [2_000, 1_000, 0, 2_000]


def test_every_defect_of_a_manual_placement_is_listed(tiny: Problem) -> None:
    with pytest.raises(ScenarioError) as caught:
        manual(task_of(pinned(tiny, (0, 4), (2, 7), (0, 6), None)))
    assert [(p.path, p.message) for p in caught.value.problems] == [
        ("servers[slow-0].span", "ends at 7, the model has 6 blocks"),
        ("servers[slow-0].span", "5 blocks, but at most 4 fit"),
        ("servers[slow-1].span", "6 blocks, but at most 4 fit"),
    ]


def test_spans_that_leave_a_gap_are_refused(tiny: Problem) -> None:
    with pytest.raises(ScenarioError, match="2 of 6 blocks have no server, the first is block 2"):
        manual(task_of(pinned(tiny, (0, 2), (4, 6), None, None)))


def test_blocks_that_differ_are_weighed_where_they_lie(tiny: Problem) -> None:
    each = (2_000, 2_000, 1_000, 1_000, 500, 500)
    servers = tuple(dataclasses.replace(s, block_bytes=each) for s in tiny.servers)
    problem = dataclasses.replace(tiny, servers=servers)
    placement = manual(task_of(pinned(problem, (0, 3), (2, 6), None, None)))
    assert placement.cache_bytes.tolist() == [1_000, 1_000, 0, 0]
    with pytest.raises(
        ScenarioError, match=r"servers\[slow-0\].span: takes 5e-06 GB, the server has 4e-06"
    ):
        manual(task_of(pinned(problem, (3, 6), (0, 3), None, None)))


def test_a_span_beyond_the_model_is_told_also_where_blocks_differ(tiny: Problem) -> None:
    each = (2_000, 2_000, 1_000, 1_000, 500, 500)
    servers = tuple(dataclasses.replace(s, block_bytes=each) for s in tiny.servers)
    problem = pinned(dataclasses.replace(tiny, servers=servers), (0, 3), (3, 7), None, None)
    with pytest.raises(ScenarioError, match=r"servers\[slow-0\].span: ends at 7, the model has 6"):
        manual(task_of(problem))
