"""Placement with precision against every plan there is, and against recorded optima."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from swarmplan.benchmarks.hosting_cases import answered, problem_of, solved, swarm_problem
from swarmplan.chains.soundness import unsound
from swarmplan.chains.within import undominated
from swarmplan.core.plan import PlannedRoute, Route
from swarmplan.core.workload import Demand
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.precise.kinds import Grid
from swarmplan.placement.precise.menu import Menu
from swarmplan.placement.precise.solve import frontier, knapsack_of, solve_precise
from swarmplan.placement.task import Task
from swarmplan.tests.placement.precise.cases import drawn, least_ms


@pytest.mark.parametrize("seed", range(24))
def test_the_optimum_is_that_of_all_plans(seed: int) -> None:
    case = drawn(seed, blocks=3)
    found = solved(case, [c["budget"] for c in case["classes"]])
    assert found == pytest.approx(least_ms(case))


def test_recorded_optima_and_frontiers_are_found(shared_data: Path) -> None:
    text = (shared_data / "golden" / "placement_precision.json").read_text()
    for case in json.loads(text)["cases"]:
        found, optimum = answered(case), case["optimum"]
        assert found["objective"] == (None if optimum is None else optimum["objective"])
        if "frontier" in case:
            assert found["frontier"] == case["frontier"], case["name"]


@pytest.mark.parametrize("name", ["Llama-3.1-70B", "gpt-oss-120b", "DeepSeek-V3"])
def test_recorded_swarms_are_met(shared_data: Path, name: str) -> None:
    golden = shared_data / "golden"
    about = json.loads((golden / "precision_swarms.json").read_text())
    models = json.loads((golden / "models.json").read_text())["models"]
    swarm = next(s for s in about["swarms"] if s["model"] == name)
    model = next(m for m in models if m["model"] == name)
    problem = swarm_problem(about, swarm, model, sessions=8, share=0.5)
    demand = (Demand(client=0, sessions=1, weight_tokens=1.0, cache_tokens=1),)
    found = solve_precise(Task(cost=CostModel(problem), sessions=1, demand=demand, gap=0.0))
    ms = (found.certificate.objective.value or 0.0) * 1e3
    assert ms == pytest.approx(swarm["R=8"]["joint 0.50"]["ms"], abs=0.06)


def test_every_point_of_a_frontier_is_a_sound_plan_and_beats_the_one_before() -> None:
    case = drawn(7, blocks=4)
    demand = (Demand(client=0, sessions=1, weight_tokens=1.0, cache_tokens=1),)
    problem = problem_of(case, [1e9] * len(case["classes"]))
    task = Task(cost=CostModel(problem), sessions=1, demand=demand)
    menu, last = Menu.of(task), (-1.0, np.inf)
    points = frontier(task)
    assert len(points) > 1
    for point in points:
        settled, placement = menu.placed(point.spans)
        route = PlannedRoute(client=0, sessions=1, route=Route(hops=point.hops))
        assert not unsound(settled.cost, placement, [route], demand)
        reached = settled.cost.step_s(route.route, settled.cost.planned(0))
        assert reached == pytest.approx(point.cost_s)
        assert settled.cost.route_harm(route.route) == pytest.approx(point.harm)
        assert reached > last[0]
        assert point.harm < last[1]
        last = reached, point.harm


@pytest.mark.parametrize("seed", range(6))
def test_the_cheapest_within_a_budget_is_on_the_frontier(seed: int) -> None:
    case = drawn(16 + seed, blocks=4)
    problem = problem_of(case, [1e9] * len(case["classes"]))
    demand = (Demand(client=0, sessions=1, weight_tokens=1.0, cache_tokens=1),)
    menu = Menu.of(Task(cost=CostModel(problem), sessions=1, demand=demand))
    knapsack = knapsack_of(menu, Grid.of(menu), np.ones(1), menu.cache[0])
    points = knapsack.frontier()
    for budget in (0.0, 3.0, 10.0, 25.0, 60.0):
        within = [p.cost_s for p in points if p.harm <= budget]
        found = knapsack.cheapest(budget)
        assert (None if found is None else found.cost_s) == (
            pytest.approx(min(within)) if within else None
        )


def test_what_is_beaten_is_beaten_by_somebody_who_stays() -> None:
    rng = np.random.default_rng(5)
    group, cost, harm = (rng.integers(0, top, 300) for top in (4, 20, 20))
    kept = set(undominated(group, cost.astype(float), harm.astype(float)).tolist())
    for i in range(len(group)):
        beaten = any(
            group[k] == group[i] and cost[k] <= cost[i] and harm[k] <= harm[i] for k in kept - {i}
        )
        assert beaten != (i in kept)
