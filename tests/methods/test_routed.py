"""Routers that run on the placements that lead: who runs, who wins, when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from swarmplan.core.objective import MEAN_RESPONSE
from swarmplan.core.problem import Problem
from swarmplan.methods import runoff as module
from swarmplan.methods.draft import Settings
from swarmplan.methods.judge import Judge, judge_for
from swarmplan.methods.race import Runner
from swarmplan.methods.routed import ALONE, paired, routed
from swarmplan.methods.routers import ROUTERS, racing_routers
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import cg_bp
from swarmplan.placement.sessions import task_of
from swarmplan.placement.task import Task
from swarmplan.solve.deadline import NEVER, Deadline
from swarmplan.workload.load import at_load

SPANS = [(0, 4), (0, 3), (3, 6), (4, 6)]
#: Of a time limit, what routers are tried for by default.
WORK_SHARE = 0.28


@pytest.fixture(autouse=True)
def work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORK_SHARE", WORK_SHARE)


@pytest.fixture
def task(tiny: Problem) -> Task:
    """With little work, so that rounds are few."""
    return task_of(at_load(tiny, 0.5), goal=MEAN_RESPONSE, deadline=Deadline(limit_s=12.0))


@pytest.fixture
def raced(task: Task) -> Callable[[int], Judge]:
    return lambda count: judge_for(task, Settings(), 11, 0, count)


def runners(task: Task, raced: Callable[[int], Judge], *routers: str) -> list[Runner]:
    """A placement of several chains with some routers, as a race of 150 requests leaves them."""
    placement = CostModel.of(task.problem).placed(SPANS)
    judge, found = raced(150), []
    for router in routers:
        runner = Runner(name="ours", placement=placement, router=router, bound_s=1.0, alone_s=0.0)
        done = judge(placement, router)
        runner.figure_s, runner.unserved, runner.requests = done.figure_s, done.unserved, 150
        found.append(runner)
    return sorted(found, key=Runner.order)


def test_every_router_runs_for_which_the_scenario_has_all_that_it_needs(
    task: Task, raced: Callable[[int], Judge]
) -> None:
    fitting = racing_routers(task.problem)
    assert set(ROUTERS) - set(fitting) == {"overlap-late", "budgeted"}
    ranked, _ = routed(task, Settings(), runners(task, raced, "ws-rr"), NEVER, raced)
    assert {r.router for r in ranked} == set(fitting)
    assert all(r.requests and r.verdict for r in ranked[1:])


def test_routers_that_look_at_one_request_alone_have_the_last_turn(
    task: Task, raced: Callable[[int], Judge]
) -> None:
    ranked = runners(task, raced, "overlap")
    turns = [p.runner.router for p in paired(task.problem, ranked, raced(150))]
    assert set(turns[-4:]) == set(ALONE)
    assert turns[-5] == "joint"


def test_the_choice_does_worse_than_nobody_on_the_requests_of_its_trial(
    task: Task, raced: Callable[[int], Judge]
) -> None:
    ranked, _ = routed(task, Settings(), runners(task, raced, "shortest"), NEVER, raced)
    best = ranked[0]
    assert best.router != "shortest"
    assert best.requests > 150
    judge = raced(best.requests)
    assert judge(best.placement, best.router).figure_s == best.figure_s
    equal = [r for r in ranked if r.requests == best.requests]
    assert "shortest" in {r.router for r in equal}
    assert best.order() == min(r.order() for r in equal)


def test_equal_requests_give_equal_choices(task: Task, raced: Callable[[int], Judge]) -> None:
    found = [
        routed(task, Settings(), runners(task, raced, "ws-rr"), NEVER, raced)[0] for _ in range(2)
    ]
    rows = [[(r.router, r.figure_s, r.requests, r.verdict) for r in made] for made in found]
    assert rows[0] == rows[1]


def test_the_winner_stays_where_nobody_is_surely_faster(
    task: Task, raced: Callable[[int], Judge], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SURE", "SURE_AT_FIRST"):
        monkeypatch.setattr(module, name, 1e9)
    before = runners(task, raced, "shortest")
    ranked, _ = routed(task, Settings(), before, NEVER, raced)
    assert ranked[0] is before[0]
    assert ranked[0].requests == 150
    assert any("not surely faster" in r.verdict for r in ranked[1:])


@pytest.mark.parametrize("limit", ["clock", "work"])
def test_without_time_the_race_decides(
    task: Task, raced: Callable[[int], Judge], limit: str
) -> None:
    end = Deadline.after(0.0) if limit == "clock" else NEVER
    hurried = replace(task, deadline=Deadline(limit_s=1e-6)) if limit == "work" else task
    before = runners(task, raced, "ws-rr")
    ranked, _ = routed(hurried, Settings(), before, end, raced)
    assert ranked == before


def test_a_router_that_is_asked_for_is_not_replaced(
    task: Task, raced: Callable[[int], Judge]
) -> None:
    before = runners(task, raced, "ws-rr")
    assert routed(task, Settings(router="ws-rr"), before, NEVER, raced)[0] == before


def test_other_placements_run_with_routers_near_the_best_one_only(
    task: Task, raced: Callable[[int], Judge]
) -> None:
    other = cg_bp(task)
    (first,) = runners(task, raced, "overlap")
    second = replace(first, placement=other)
    ranked, _ = routed(task, Settings(), [first, second], NEVER, raced)
    ours, theirs = (
        {r.router: r for r in ranked if r.placement is p} for p in (first.placement, other)
    )
    assert set(theirs) < set(ours)
    far = [r for r in ours if r not in theirs]
    assert far
    least = min(r.figure_s for r in ours.values() if r.requests)
    assert all(np.isinf(ours[r].figure_s) or ours[r].figure_s > least for r in far)


def test_what_the_race_let_go_near_the_best_is_tried_again_and_with_the_slow_router(
    task: Task, raced: Callable[[int], Judge]
) -> None:
    (first,) = runners(task, raced, "overlap")
    places = [CostModel.of(task.problem).placed([*SPANS[:3], (z - 1, z)]) for z in range(1, 5)]
    leaders = [replace(first, placement=p, requests=400) for p in (first.placement, *places)]
    let_go = replace(leaders[-1], router="max-flow", requests=150, figure_s=1.1 * first.figure_s)
    far = replace(let_go, router="ws-rr", figure_s=1.3 * first.figure_s)
    pairs = paired(task.problem, [*leaders, let_go, far], raced(200))
    again = [p for p in pairs if p.runner.placement is places[-1]]
    assert [(p.runner.router, p.raced) for p in again] == [("max-flow", True), ("joint", False)]
