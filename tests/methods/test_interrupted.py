"""Ctrl-C in a part of a method ends the whole, and what was found is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmplan import api
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.methods import precision, throughput
from swarmplan.methods.draft import Settings
from swarmplan.methods.verify import verify
from swarmplan.placement import compute
from swarmplan.placement.flow import FlowLayout
from swarmplan.placement.flowed import flow_placement
from swarmplan.placement.sessions import task_of
from swarmplan.placement.task import Task
from swarmplan.solve.deadline import Deadline
from swarmplan.tests.methods.test_precision import swarm


def cut_off(*_given: object, **_named: object) -> None:
    raise KeyboardInterrupt


def test_in_the_programme_of_flows_it_ends_the_search_for_throughput(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(task: Task, *, deadline: Deadline) -> tuple[Placement, FlowLayout]:
        placement, flow = flow_placement(task, deadline=deadline)
        return placement, replace(flow, interrupted=True)

    monkeypatch.setattr(throughput, "flow_placement", interrupted)
    monkeypatch.setattr(throughput, "annealed", lambda *_, **__: pytest.fail("goes on"))
    plan = api.plan(tiny, "auto", settings=Settings(aim="throughput"))
    assert plan.certificate.interrupted
    assert not verify(tiny, plan)


def test_in_a_trial_of_sessions_it_ends_the_trials(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "placed_by_search", cut_off)
    with pytest.raises(KeyboardInterrupt):
        compute.for_load(task_of(tiny))


@pytest.mark.parametrize("method", ["exact", "cg-bp"])
def test_beside_the_joint_problem_of_precisions_its_plan_is_kept(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = swarm()
    monkeypatch.setattr(precision, "_on_grid", cut_off)
    plan = api.plan(scenario, method, sessions=4, settings=Settings(time_limit_s=60.0))
    assert plan.certificate.interrupted
    assert plan.certificate.objective.value is not None
    assert not api.verify(scenario, plan)
