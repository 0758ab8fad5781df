"""Precisions chosen for methods, budgets kept by routers, told by files."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from swarmplan import api
from swarmplan.chains.soundness import overharmed
from swarmplan.core.errors import NoSolutionInTimeError, ScenarioError, SwarmplanError
from swarmplan.core.events import ServerEvent
from swarmplan.methods.draft import Settings
from swarmplan.methods.replanning import kept, replanned
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.accuracy import harm_of, percent_of
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.api import Solution
from swarmplan.placement.moves.replan import Terms
from swarmplan.placement.precise.solve import solve_precise
from swarmplan.placement.sessions import demand_of, task_of
from swarmplan.placement.task import Task
from swarmplan.routing.offline import best_routes
from swarmplan.scenarios.accuracy import narrowed
from swarmplan.scenarios.migrationfile import read_current
from swarmplan.scenarios.planfile import plan_document, read_plan, write_plan
from swarmplan.scenarios.scenario import Scenario, scenario_of
from swarmplan.simulator.engine import simulate
from swarmplan.studies.accuracy import tradeoffs
from swarmplan.studies.sizebound import size_bound
from swarmplan.studies.target import parse_target
from swarmplan.swarm.launch import LaunchOptions, launch_files
from swarmplan.swarm.record import read_record, record_of
from swarmplan.workload.draw import draw_requests

SETTINGS = Settings(time_limit_s=5.0)


def swarm(**accuracy: object) -> Scenario:
    """Eight servers of two types, two clients."""
    raw = {
        "format": "swarmplan/scenario/1",
        "name": "mixed",
        "model": {
            "name": "toy",
            "num_blocks": 12,
            "hidden_size": 1024,
            "block_mb": 27,
            "cache_bytes_per_token": 4096,
        },
        "accuracy": {"harm": {"nf4": 4.0}, **accuracy},
        "devices": {"fast": {"memory_gb": 0.5, "decode_ms": 2}, "slow": {"memory_gb": 0.4,
                    "decode_ms": 6}},
        "servers": [
            {"id": "fast", "device": "fast", "count": 3, "lat": 50, "lon": 4,
             "precisions": ["bf16", "nf4"]},
            {"id": "slow", "device": "slow", "count": 5, "lat": 52, "lon": 9,
             "precisions": ["nf4", "int8", "bf16"]},
        ],
        "clients": [{"id": "near", "lat": 50, "lon": 5}, {"id": "far", "lat": 41, "lon": 2}],
        "workload": {
            "requests": 40,
            "streams": [
                {"client": c, "rate_per_s": 0.5, "prompt_tokens": 50, "output_tokens": 20}
                for c in ("near", "far")
            ],
        },
    }  # fmt: skip
    return scenario_of(raw, Path("mixed.toml"))


@pytest.mark.parametrize("method", ["cg-bp", "exact", "chains", "petals"])
def test_every_method_plans_within_the_budgets(method: str, tmp_path: Path) -> None:
    scenario = swarm(budget=2.0, budget_of={"far": 0.5})
    made = api.plan(scenario, method, sessions=4, settings=SETTINGS)
    assert not api.verify(scenario, made)
    problem = scenario.problem.at_precisions(made.placement.precision)
    cost = CostModel.of(problem)
    assert not list(overharmed(cost, made.routes))
    told = {p.client: percent_of(p.harm or 0.0) for p in made.predicted}
    assert told[0] <= 2.0 + 1e-9
    assert told[1] <= 0.5 + 1e-9
    path = tmp_path / "plan.json"
    write_plan(path, made, scenario)
    again = read_plan(path, scenario)
    assert again.placement.precision == made.placement.precision
    assert not api.verify(scenario, again)


def test_a_plan_above_a_budget_is_refused() -> None:
    coarse = swarm()
    made = api.plan(coarse, "exact", sessions=4, settings=SETTINGS)
    assert set(made.placement.precision) & {"nf4"}
    strict = replace(coarse, problem=narrowed(coarse.problem, budget_percent=0.01))
    assert any("accuracy" in f.message for f in api.verify(strict, made))


def test_a_tighter_budget_is_no_faster_and_none_is_refused_as_proven() -> None:
    scenario, last = swarm(), 0.0
    for percent in (100.0, 2.0, 0.5):
        problem = narrowed(scenario.problem, budget_percent=percent)
        made = api.plan(problem, "exact", sessions=2, settings=SETTINGS)
        reached = made.certificate.objective.value or 0.0
        assert reached >= last - 1e-12
        last = reached
    small = narrowed(scenario.problem, budget_percent=0.0, precisions=["int8", "bf16"])
    servers = tuple(replace(s, memory_bytes=s.memory_bytes // 2) for s in small.servers)
    with pytest.raises(SwarmplanError, match="infeasible"):
        api.plan(replace(small, servers=servers), "exact", sessions=2, settings=SETTINGS)


@pytest.mark.parametrize("router", ["ws-rr", "overlap", "jffc", "petals", "shortest"])
def test_no_router_leaves_a_budget_when_servers_fail(router: str) -> None:
    problem = narrowed(swarm().problem, budget_percent=2.5)
    names = ["nf4", "bf16", "bf16", "nf4", "bf16", "bf16", "nf4", "nf4"]
    problem = problem.at_precisions(names)
    cost = CostModel(problem)
    placement = cost.placed([(0, 6), (0, 4), (4, 8), (6, 12), (8, 11), (9, 12), (8, 12), (0, 12)])
    requests = draw_requests(problem, 3, num_requests=30)
    events = [
        ServerEvent(time_s=t, server=j, up=up)
        for t, j, up in [(8.0, 1, False), (15.0, 1, True), (20.0, 2, False), (22.0, 2, True)]
    ]
    made = router_named(router)(cost, placement)
    found = simulate(problem, placement, made, requests, events=events)
    routes = [r for r in found.routes if r is not None]
    assert len(routes) > 20
    assert max(cost.route_harm(r) for r in routes) <= harm_of(2.5) + 1e-12


def test_routes_for_all_sessions_are_the_cheapest_within_the_budget() -> None:
    problem = swarm().problem.at_precisions(["nf4", "bf16", *["nf4"] * 3, *["bf16"] * 3])
    placement = CostModel(problem).placed(
        [(0, 6), (0, 4), (6, 12), (6, 12), (6, 12), (4, 7), (7, 10), (9, 12)]
    )
    last = np.inf
    for percent in (0.0, 2.5, 10.0):
        cost = CostModel(narrowed(problem, budget_percent=percent))
        routes, unrouted = best_routes(cost, placement, demand_of(cost.problem, 2))
        assert not unrouted
        total = sum(cost.step_s(r.route, cost.planned(r.client)) for r in routes)
        assert total <= last
        assert all(cost.route_harm(r.route) <= harm_of(percent) + 1e-12 for r in routes)
        last = total


def test_explanations_and_launch_files_tell_the_precision() -> None:
    scenario = swarm(budget=2.0)
    made = api.plan(scenario, "exact", sessions=2, settings=SETTINGS)
    for found in api.explain(scenario, made):
        own = [made.placement.precision[h.server] for h in found.route.hops]
        assert list(found.precisions) == own
        assert 0 <= percent_of(found.harm or 0.0) <= 2.0 + 1e-9
    files = launch_files(made, scenario, LaunchOptions(model="toy"))
    rows = {s.id: j for j, s in enumerate(scenario.problem.servers)}
    for one in files:
        flag = one.command[one.command.index("--quant_type") + 1]
        own_precision = made.placement.precision[rows[one.server]]
        assert flag == ("none" if own_precision == "bf16" else own_precision)


def test_every_point_of_the_frontier_verifies_within_its_own_budget() -> None:
    scenario = swarm()
    points = tradeoffs(scenario.problem, 4)
    assert len(points) >= 3
    assert [p.step_s for p in points] == sorted(p.step_s for p in points)
    assert [p.harm for p in points] == sorted((p.harm for p in points), reverse=True)
    for point in points:
        problem = narrowed(scenario.problem, budget_percent=percent_of(point.harm) + 1e-9)
        made = api.plan(problem, "exact", sessions=4, settings=SETTINGS)
        assert made.certificate.objective.value is not None
        assert made.certificate.objective.value <= 4 * point.step_s * (1 + 1e-9)


def test_plan_files_of_fixed_precisions_do_not_name_them() -> None:
    scenario = api.load(Path(__file__).parents[2] / "scenarios" / "tiny.toml")
    made = api.plan(scenario, "cg-bp", settings=SETTINGS)
    text = json.dumps(plan_document(made, scenario))
    assert "precision" not in text
    assert "harm" not in text


@pytest.mark.parametrize(
    ("accuracy", "field"),
    [
        ({"budget_of": {"nobody": 1.0}}, "accuracy.budget_of.nobody"),
        ({"profile": [1.0, 2.0]}, "accuracy.profile"),
        ({"budget": -1.0}, "accuracy.budget"),
    ],
)
def test_what_is_wrong_is_named(accuracy: dict[str, object], field: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        swarm(**accuracy)
    assert any(p.path.startswith(field) for p in caught.value.problems)


def test_ends_are_more_sensitive_and_nothing_is_lost() -> None:
    flat, ends = (swarm(profile=p).problem.accuracy for p in ("flat", "ends"))
    assert flat is not None
    assert ends is not None
    assert sum(flat.of("nf4")) == pytest.approx(harm_of(4.0))
    assert sum(ends.of("nf4")) == pytest.approx(harm_of(4.0))
    assert ends.of("nf4")[0] == pytest.approx(3 * ends.of("nf4")[5])
    assert set(flat.of("bf16")) == {0.0}


def test_moves_keep_the_precisions_of_the_plan_in_force(tmp_path: Path) -> None:
    scenario = swarm(budget=2.0)
    made = api.plan(scenario, "exact", sessions=4, settings=SETTINGS)
    assert len(set(made.placement.precision)) > 1
    path = tmp_path / "plan.json"
    write_plan(path, made, scenario)
    current, router, _, _ = read_current(path, scenario)
    assert current.precision == made.placement.precision
    found = replanned(scenario.problem, current, "cg-bp", settings=SETTINGS, terms=Terms(),
                      router=router)  # fmt: skip
    assert any(option is found.chosen for option in found.options)
    assert found.chosen.placement.precision == current.precision
    again = api.plan(scenario, kept(found.chosen.placement, router), settings=SETTINGS)
    assert again.placement.precision == current.precision
    assert not [f for f in api.verify(scenario, again) if f.grave]


def test_a_published_plan_tells_servers_their_precisions() -> None:
    scenario = swarm()
    made = api.plan(scenario, "exact", sessions=4, settings=SETTINGS)
    content = plan_document(made, scenario)
    packed = record_of(scenario, content, prefix="p", version=1, now_s=1e6, valid_s=100.0)
    live = read_record(packed, prefix="p", now_s=1e6)
    own = {s.id: s.precision for s in live.problem.servers}
    assert tuple(own.values()) == made.placement.precision
    assert {name: live.hosting.precision[name] for name in own} == own


def test_sizes_are_bounded_by_the_lightest_and_fastest_precision() -> None:
    problem = swarm().problem
    requests = draw_requests(problem, 0, num_requests=20)
    offer_of, available = [0] * 3 + [1] * 5, [3, 5]
    target = parse_target("response_s=1.5")

    def bound(cost: CostModel) -> float:
        return size_bound(cost, offer_of, available, [1.0, 1.0], requests, [target]).value

    free = bound(CostModel.of(problem))
    for fast in ("bf16", "nf4"):
        for slow in ("nf4", "int8", "bf16"):
            names = [fast] * 3 + [slow] * 5
            assert free <= bound(CostModel(problem.at_precisions(names).fixed))
    assert math.isfinite(free)


def test_a_joint_solution_that_is_not_proven_gives_way_to_a_better_fixed_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = narrowed(swarm().problem, budget_percent=100.0)
    best = api.plan(problem, "exact", sessions=4, settings=SETTINGS).certificate.objective.value

    def slow(task: Task) -> Solution:
        if task.problem.chooses_precision:
            raise NoSolutionInTimeError("the joint problem took too long")
        return solve_precise(task)

    monkeypatch.setattr("swarmplan.methods.precision.solve_precise", slow)
    made = api.plan(problem, "exact", sessions=4, settings=SETTINGS)
    assert not api.verify(problem, made)
    names = made.placement.precision
    fixed = task_of(problem.at_precisions(names).fixed, sessions=4)
    alone = solve_precise(fixed)[2].objective.value
    reached = made.certificate.objective.value
    assert best is not None
    assert alone is not None
    assert reached is not None
    assert best * (1 - 1e-9) <= reached <= alone * (1 + 1e-4)
