"""The portfolio: what it picks, what it tells, when it stops."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from swarmplan import api
from swarmplan.chains.capacity import most_planned_per_s
from swarmplan.core.names import Metric
from swarmplan.core.objective import MEAN_RESPONSE, goal_of
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.methods import auto
from swarmplan.methods.candidates import RIVAL, entries
from swarmplan.methods.certify import floor_of, trial_requests
from swarmplan.methods.draft import Settings
from swarmplan.methods.judge import Judge, Judged, judge_for
from swarmplan.methods.race import Race, Runner
from swarmplan.methods.routed import routed
from swarmplan.methods.routers import ROUTERS, racing_routers, router_named
from swarmplan.methods.table import METHODS, method_named
from swarmplan.methods.verify import verify
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.whole_model import whole_model
from swarmplan.placement.sessions import task_of
from swarmplan.placement.task import Task
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import summarise
from swarmplan.solve.deadline import NEVER, Deadline
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load


def at_rate(problem: Problem, rate_per_s: float) -> Problem:
    classes = tuple(
        replace(c, rate_per_s=rate_per_s / len(problem.workload.classes))
        for c in problem.workload.classes
    )
    return replace(problem, workload=replace(problem.workload, classes=classes))


def response_s(problem: Problem, method: str, seed: int) -> float:
    """The mean over four lots of requests, of the same plan."""
    draft = method_named(method)(problem, Settings(seed=seed))
    found = []
    for lot in range(seed, seed + 4):
        router = router_named(draft.router)(CostModel.of(problem), draft.placement)
        requests = draw_requests(problem, lot, num_requests=500)
        run = simulate(problem, draft.placement, router, requests)
        found.append(summarise(run).response_s.mean)
    return float(np.mean(found))


@pytest.mark.parametrize("rate_per_s", [0.5, 2.0])
def test_auto_is_not_worse_than_its_own_ingredients(tiny: Problem, rate_per_s: float) -> None:
    loaded = at_rate(tiny, rate_per_s)
    auto = response_s(loaded, "auto", 1)
    for method in ("cg-bp", "chains"):
        assert auto <= 1.01 * response_s(loaded, method, 1)


def test_a_plan_that_is_there_already_is_not_lost(tiny: Problem) -> None:
    """Even where there is no time to look for another one, and where its router is unknown here."""
    loaded = at_rate(tiny, 2.0)
    best = method_named("auto")(loaded, Settings(time_limit_s=8.0))
    for router in (best.router, "a router of theirs"):
        known = ((best.placement, router),)
        found = method_named("auto")(loaded, Settings(time_limit_s=1e-3, known=known))
        assert any("given" in c.placement and c.requests for c in found.candidates)
        assert found.placement == best.placement


def test_a_plan_that_cannot_be_here_is_left_out(tiny: Problem) -> None:
    everywhere = CostModel.of(tiny).placed([(0, tiny.model.num_blocks)] * tiny.num_servers)
    settings = Settings(time_limit_s=3.0, known=((everywhere, "overlap"),))
    found = method_named("auto")(tiny, settings)
    assert not any("given" in c.placement for c in found.candidates)


def test_the_plan_brings_its_router_and_the_table_of_candidates(tiny: Problem) -> None:
    plan = api.plan(tiny, "auto")
    assert not verify(tiny, plan)
    assert plan.router in ROUTERS
    chosen = [c for c in plan.candidates if c.verdict == "chosen"]
    assert chosen == [plan.candidates[0]]
    assert chosen[0].router == plan.router
    assert all(c.verdict for c in plan.candidates)
    simulated = [c.figure for c in plan.candidates if c.requests == chosen[0].requests]
    assert chosen[0].figure == min(f for f in simulated if f is not None)
    assert {c.router for c in plan.candidates if c.requests} >= set(racing_routers(tiny))
    names = " = ".join(c.placement for c in plan.candidates)
    assert "exact" in names
    assert "search, long" in names


@pytest.mark.parametrize("metric", ["mean", "p95"])
def test_the_plan_tells_what_no_plan_can_beat(tiny: Problem, metric: Metric) -> None:
    light = at_rate(tiny, 0.01)
    draft = method_named("auto")(light, Settings(metric=metric))
    proof, best = draft.certificate, draft.candidates[0].figure
    assert proof is not None
    assert proof.trial is not None
    assert proof.objective.goal == goal_of("response", metric)
    assert proof.objective.value == best
    assert proof.objective.bound is not None
    assert best is not None
    floor_s = floor_of(CostModel.of(light), proof.objective.goal, proof.trial)
    assert floor_s <= best * 1.001
    assert proof.objective.bound == min(floor_s, best)
    assert proof.gap == pytest.approx(1 - proof.objective.bound / best)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_plan_is_not_chosen_on_the_requests_of_a_comparison_with_its_seed(
    tiny: Problem, seed: int
) -> None:
    made = api.plan(tiny, "auto", settings=Settings(time_limit_s=3.0, seed=seed))
    trial = made.certificate.trial
    assert trial is not None
    assert not set(trial_requests(tiny, trial)) & set(draw_requests(tiny, seed))


def test_the_published_rivals_are_simulated_however_little_time_there_is(tiny: Problem) -> None:
    loaded = at_rate(tiny, 1.0)
    hurried = entries(task_of(loaded, deadline=Deadline.after(0.0)))
    assert {"cg-bp", "gbp-cr"} <= {
        name.split(" ")[0] for e in hurried if e.rank == RIVAL for name in e.plan.name.split(" = ")
    }
    draft = method_named("auto")(loaded, Settings(time_limit_s=3.0))
    ran = [c for c in draft.candidates if c.requests]
    rivals = {e.plan.name for e in entries(task_of(loaded)) if e.rank == RIVAL}
    assert rivals <= {c.placement for c in ran}


def test_where_servers_work_on_one_task_at_a_time_work_decides_about_routers_and_r(
    tiny: Problem,
) -> None:
    found = entries(task_of(tiny))
    assert {e.routers[0] for e in found} == {"overlap"}
    names = " = ".join(e.plan.name for e in found)
    for name in ("cg-bp R=1", "cg-bp R=3"):
        assert name in names
    (published,) = (e for e in found if "ws-rr" in e.routers)
    assert published.rank == RIVAL
    idle = tuple(replace(s, sharing="independent") for s in tiny.servers)
    found = entries(task_of(replace(tiny, servers=idle)))
    assert not any("overlap" in e.routers for e in found)
    assert "R=1" not in " ".join(e.plan.name for e in found if not e.plan.name.startswith("search"))


def test_equal_settings_give_equal_plans(tiny: Problem) -> None:
    # The first one may have to compile: on a busy machine that is what its time goes to.
    _, first, second = (api.plan(tiny, "auto") for _ in range(3))
    assert first.candidates == second.candidates
    assert first.routes == second.routes


def test_throughput_chooses_the_placement_that_sustains_most(tiny: Problem) -> None:
    plan = api.plan(tiny, "auto", settings=Settings(time_limit_s=8.0, aim="throughput"))
    figures = [c.figure for c in plan.candidates if c.figure is not None]
    assert figures[0] == max(figures)
    assert plan.certificate.objective.value == figures[0]
    assert not verify(tiny, plan)


def test_a_router_that_is_asked_for_is_the_one_that_all_are_simulated_with(tiny: Problem) -> None:
    asked = Settings(time_limit_s=8.0, aim="throughput")
    plan = api.plan(tiny, "auto", router="max-flow", settings=asked)
    assert plan.router == "max-flow"
    assert {c.router for c in plan.candidates} == {"max-flow"}
    assert plan.throughput is not None
    assert plan.certificate.objective.value == plan.throughput.requests_per_s


def race(problem: Problem, *, deadline: Deadline = NEVER) -> Race:
    """Two short rounds."""
    cost = CostModel.of(problem)
    return Race(
        rounds=[(50, 2), (100, 1)],
        judge_of=lambda count: Judge(
            cost,
            draw_requests(problem, 0, num_requests=count),
            admission="retry",
            goal=MEAN_RESPONSE,
        ),
        deadline=deadline,
    )


def test_a_throughput_is_told_with_what_all_servers_hold_and_compute(tiny: Problem) -> None:
    plan = api.plan(tiny, "auto", settings=Settings(time_limit_s=8.0, aim="throughput"))
    found, cost = plan.certificate.objective, CostModel.of(tiny)
    planning = tiny.planning
    work = cost.work_s(planning.prompt_tokens, planning.output_tokens)
    most = most_planned_per_s(cost)
    assert most < sum(1 / work(j, 0, 6) for j in range(4))  # memory binds here
    assert found.bound == pytest.approx(most)
    assert found.value is not None
    assert 0 < found.value <= most
    assert verify(tiny, plan) == ()
    assert not any("overload" in note for note in plan.notes)
    busy = api.plan(at_load(tiny, 2 * most / tiny.workload.rate_per_s), "cg-bp")
    assert any(f"no plan sustains more than {most:.4g}" in note for note in busy.notes)


def test_a_race_without_time_still_names_a_winner(tiny: Problem) -> None:
    roomy = tuple(replace(s, memory_bytes=20_000) for s in tiny.servers)
    placement = whole_model(task_of(replace(tiny, servers=roomy)))
    runners = [
        Runner(name=name, placement=placement, router="jffc", bound_s=1.0, alone_s=0.0)
        for name in ("a", "b")
    ]
    ranked, stopped = race(tiny, deadline=Deadline.after(0.0)).run(runners)
    assert stopped == "time limit"
    assert ranked[0].served
    assert not ranked[1].served
    assert "time limit" in ranked[1].verdict


def test_code_that_is_loaded_for_the_first_run_is_no_measure_of_the_next_ones(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    cost, loaded = CostModel.of(tiny), list[bool]()

    class Loaded(Judge):
        def __call__(self, placement: Placement, router: str) -> Judged:
            clock[0] += 0.1 if loaded else 6.0
            loaded.append(True)
            return super().__call__(placement, router)

    requests = draw_requests(tiny, 0, num_requests=20)
    judge = Loaded(cost, requests, admission="retry", goal=MEAN_RESPONSE)
    placement = METHODS["cg-bp"](tiny, Settings()).placement
    runners = [
        Runner(name=r, placement=placement, router=r, bound_s=1.0, alone_s=0.0)
        for r in ("jffc", "ws-rr", "overlap")
    ]
    timed = replace(race(tiny), judge_of=lambda _: judge, deadline=Deadline.after(10.0))
    ranked, stopped = timed.run(runners)
    assert not stopped
    assert all(r.served for r in ranked)


def test_a_given_plan_runs_beside_the_others_and_takes_nobody_s_place(tiny: Problem) -> None:
    placement = METHODS["cg-bp"](tiny, Settings()).placement
    whole = replace(race(tiny), rounds=((50, 2), (100, 1)))

    def runner(router: str, *, given: bool = False) -> Runner:
        return Runner(
            name=router, placement=placement, router=router, bound_s=1.0, alone_s=0.0, given=given
        )

    names = ("jffc", "ws-rr", "overlap")
    alone, _ = whole.run([runner(name) for name in names])
    beside, _ = whole.run([runner("jffc", given=True), *(runner(name) for name in names)])
    rows = [[(r.router, r.requests, r.figure_s) for r in x if not r.given] for x in (alone, beside)]
    assert rows[0] == rows[1]
    assert any(r.given and r.requests for r in beside)


def test_ctrl_c_in_a_later_round_keeps_the_results_before(tiny: Problem) -> None:
    whole = race(tiny)

    def judge_of(count: int) -> Judge:
        if count > 50:
            raise KeyboardInterrupt
        return whole.judge_of(count)

    plan = METHODS["cg-bp"](tiny, Settings())
    runners = [
        Runner(name=r, placement=plan.placement, router=r, bound_s=1.0, alone_s=0.0)
        for r in ("jffc", "ws-rr")
    ]
    ranked, stopped = replace(whole, judge_of=judge_of).run(runners)
    assert stopped == "interrupted"
    assert [r.requests for r in ranked] == [50, 50]


def test_the_tail_can_be_what_counts(tiny: Problem) -> None:
    plan = api.plan(at_rate(tiny, 1.0), "auto", settings=Settings(time_limit_s=3.0, metric="p95"))
    assert "95th percentile" in plan.notes[0]


def test_latency_is_proven_where_the_bound_is_met(tiny: Problem) -> None:
    plan = api.plan(tiny, "auto", settings=Settings(aim="latency"))
    exact = api.plan(tiny, "milp")
    reached, other = plan.certificate.objective.value, exact.certificate.objective.value
    assert reached == pytest.approx(other)
    assert plan.certificate.status == "optimal"
    assert not verify(tiny, plan)


@pytest.mark.parametrize("method", ["cg-bp", "search", "chains", "auto", "milp"])
def test_every_method_shows_a_bound_below_its_objective(tiny: Problem, method: str) -> None:
    plan = api.plan(tiny, method, settings=Settings(time_limit_s=2.0))
    reached = plan.certificate.objective
    assert not verify(tiny, plan)
    assert reached.bound is not None
    assert reached.value is not None
    assert 0 < reached.bound <= reached.value


def test_compiling_is_not_of_the_limit_and_is_told(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator's first run takes half a second more here."""
    left = list[float]()

    def compiling(task: Task, settings: Settings, first: int, number: int, count: int) -> Judge:
        time.sleep(0.5 if count == 1 else 0.0)
        return judge_for(task, settings, first, number, count)

    def told(task: Task, *given: Any) -> Any:
        left.append(task.deadline.at_s)
        return routed(task, *given)

    monkeypatch.setattr(auto, "judge_for", compiling)
    monkeypatch.setattr(auto, "routed", told)
    for least_s, said in ((0.4, True), (60.0, False)):
        monkeypatch.setattr(auto, "COMPILED_S", least_s)
        deadline = Deadline.after(2.0)
        made = auto.auto(task_of(tiny, goal=MEAN_RESPONSE, deadline=deadline), Settings())
        assert any("of compiling" in note for note in made.notes) is said
        assert (left.pop() >= deadline.at_s + 0.5) is said
