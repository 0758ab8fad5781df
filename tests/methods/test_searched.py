"""Plans of the methods ``search`` and ``exact`` among the candidates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmplan.core.errors import HeuristicFailedError
from swarmplan.core.problem import Problem
from swarmplan.methods import searched
from swarmplan.methods.candidates import LATE, entries
from swarmplan.methods.searched import thorough_plans
from swarmplan.placement.sessions import for_sessions, task_of
from swarmplan.solve.deadline import Deadline


def names(problem: Problem, *, thorough: bool) -> set[str]:
    """What the candidates are called; equal placements carry all their names."""
    task = task_of(problem, deadline=Deadline.after(20.0))
    found = entries(task, thorough=thorough)
    return {name for entry in found for name in entry.plan.name.split(" = ")}


def test_what_both_methods_find_is_raced_where_they_are_asked(tiny: Problem) -> None:
    assert {"search, long", "exact"} <= names(tiny, thorough=True)
    assert not {"search, long", "exact"} & names(tiny, thorough=False)


def test_swarms_that_are_too_large_are_left_to_rules(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searched, "MOST_SERVERS_TO_SOLVE", 3)
    assert not list(thorough_plans(task_of(tiny)))


def test_more_sessions_than_fit_are_no_reason_to_stop(tiny: Problem) -> None:
    task = for_sessions(task_of(tiny, deadline=Deadline.after(5.0)), 10_000)
    planned = replace(task.problem.planning, sessions=10_000)
    task = task.on(replace(task.problem, planning=planned))
    for make in thorough_plans(task):
        with pytest.raises(HeuristicFailedError):
            make()


def test_without_a_limit_they_come_to_an_end(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searched, "UNLIMITED_S", 0.5)
    for make in thorough_plans(task_of(tiny)):
        for _, placement in make():
            assert (placement.end > placement.start).any()


def test_what_a_search_came_by_is_raced_too_also_with_idle_servers_in_use(tiny: Problem) -> None:
    search, exact = (
        make() for make in thorough_plans(task_of(tiny, deadline=Deadline.after(20.0)))
    )
    called = [name for name, _ in search]
    assert called[0] == "search, long"
    assert "search, long, all join" in called
    assert [name for name, _ in exact] == ["exact", "exact, all join"]
    for name, placement in (*search, *exact):
        assert not name.endswith("all join") or (placement.num_blocks > 0).all()


def test_a_plan_that_others_lead_to_has_no_name_beside_theirs(tiny: Problem) -> None:
    found = entries(task_of(tiny, deadline=Deadline.after(20.0)), thorough=True)
    late = [e.plan.name for e in found if e.rank == LATE]
    others = [e.plan.name for e in found if e.rank != LATE]
    assert all("passed" in name or "all join" in name for name in late)
    assert not any("passed" in name or "all join" in name for name in others)
