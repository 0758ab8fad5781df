"""Plans of methods that Ctrl-C ended before they had one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swarmplan.core.problem import Problem
from swarmplan.methods.draft import Draft, Settings
from swarmplan.methods.planning import planned
from swarmplan.methods.table import METHODS, Method
from swarmplan.methods.verify import verify
from swarmplan.placement.rules.cg_bp import cg_bp
from swarmplan.placement.sessions import task_of
from swarmplan.placement.task import Task


def stopped(task: Task, settings: Settings) -> Draft:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["exact", "auto", "milp", "flow"])
def test_what_cg_bp_places_stands_in_for_a_plan_that_was_not_made(tiny: Problem, name: str) -> None:
    method = replace(METHODS[name], make=stopped, compute=False)
    plan = planned(tiny, method, Settings())
    placement = cg_bp(task_of(tiny))
    assert np.array_equal(plan.placement.start, placement.start)
    assert plan.certificate.interrupted
    assert f"interrupted before {name} had a plan: CG-BP's stands in" in plan.notes
    assert not verify(tiny, plan)
    if name in ("exact", "milp"):
        assert plan.certificate.objective.bound is not None


def test_ctrl_c_while_the_task_is_made_leaves_a_plan_too(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(self: Method, *_: object, **__: object) -> Task:
        raise KeyboardInterrupt

    monkeypatch.setattr(Method, "task", raises)
    assert planned(tiny, METHODS["exact"], Settings()).certificate.interrupted


def test_where_cg_bp_finds_nothing_ctrl_c_is_all_there_is(tiny: Problem) -> None:
    small = tuple(replace(s, memory_bytes=1) for s in tiny.servers)
    method = replace(METHODS["exact"], make=stopped, compute=False)
    with pytest.raises(KeyboardInterrupt):
        planned(replace(tiny, servers=small), method, Settings(), sessions=1)
