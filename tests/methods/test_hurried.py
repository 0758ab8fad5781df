"""Runs that are given up."""

from __future__ import annotations

import math

import pytest

from swarmplan.core.objective import MEAN_RESPONSE
from swarmplan.core.problem import Problem
from swarmplan.methods.draft import Settings
from swarmplan.methods.hurried import GivenUpError, Patience
from swarmplan.methods.judge import Judge, judge_for
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.sessions import task_of
from swarmplan.solve.deadline import NEVER, Deadline

SPANS = [(0, 4), (0, 3), (3, 6), (4, 6)]


@pytest.fixture
def judge(tiny: Problem) -> Judge:
    return judge_for(task_of(tiny, goal=MEAN_RESPONSE), Settings(), 3, 0, 40)


@pytest.mark.parametrize("router", ["ws-rr", "joint"])
def test_patience_changes_nothing_while_it_lasts(tiny: Problem, judge: Judge, router: str) -> None:
    placement = CostModel.of(tiny).placed(SPANS)
    patient = judge.response_s(placement, router, Patience(math.inf, NEVER))
    assert patient.tolist() == judge.response_s(placement, router).tolist()


@pytest.mark.parametrize("router", ["ws-rr", "joint"])
@pytest.mark.parametrize("patience", [Patience(39, NEVER), Patience(math.inf, Deadline.after(0.0))])
def test_too_many_decisions_or_too_much_time_end_a_run(
    tiny: Problem, judge: Judge, router: str, patience: Patience
) -> None:
    with pytest.raises(GivenUpError):
        judge.response_s(CostModel.of(tiny).placed(SPANS), router, patience)
