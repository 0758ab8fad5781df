"""Routers by name, and what a scenario has to say for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmplan import api
from swarmplan.core.allowance import Allowance
from swarmplan.core.errors import ScenarioError
from swarmplan.core.problem import Problem
from swarmplan.methods.routers import ROUTERS, fits

LACKING = {"budgeted": "planning.budget", "overlap-late": "planning.deadlines"}


@pytest.mark.parametrize("name", sorted(ROUTERS))
def test_what_a_router_needs_is_asked_for_before_anything_is_planned(
    tiny: Problem, name: str
) -> None:
    if name not in LACKING:
        fits(name, tiny)
        return
    with pytest.raises(ScenarioError, match=LACKING[name]):
        api.plan(tiny, "cg-bp", router=name)


def test_a_router_whose_budget_is_there_fits(tiny: Problem) -> None:
    allowance = Allowance(energy_w=100.0)
    fits("budgeted", replace(tiny, planning=replace(tiny.planning, allowance=allowance)))


def test_a_name_that_nobody_has_is_answered_by_those_that_exist(tiny: Problem) -> None:
    with pytest.raises(ScenarioError, match="no router 'magic'; there are ws-rr"):
        fits("magic", tiny)
