"""Moves have to show their gain on fresh requests; overload has no response."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from swarmplan import api
from swarmplan.core.problem import Problem
from swarmplan.methods import replanning
from swarmplan.methods.draft import Settings
from swarmplan.methods.replanning import migration_document, replanned
from swarmplan.methods.table import method_named
from swarmplan.placement.moves.replan import Replan, Terms
from swarmplan.scenarios.scenario import Scenario, load_scenario
from swarmplan.tests.test_cli_replan import scenario
from swarmplan.workload.load import at_load

SETTINGS = Settings(time_limit_s=20.0)


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    path = tmp_path_factory.mktemp("replanning") / "s.json"
    path.write_text(json.dumps(scenario(disk_gb_per_s=1.0, download_mbit_per_s=1000)))
    return load_scenario(path)


@pytest.fixture(scope="module")
def moved(swarm: Scenario) -> Replan:
    """From three short spans to longer ones: moves that pay by the closed form."""
    spans = (
        method_named("cg-bp")
        .task(swarm.problem, SETTINGS)
        .cost.placed([(0, 2), (2, 4), (4, 6), (0, 0)])
    )
    found = replanned(swarm.problem, spans, "cg-bp", settings=SETTINGS, terms=Terms())
    assert found.worth
    return found


def confirmed(problem: Problem, found: Replan) -> Replan:
    task = method_named("cg-bp").task(problem, SETTINGS)
    return replanning.confirmed(task, found, SETTINGS, "ws-rr")


def test_moves_that_fresh_requests_see_no_gain_in_are_refused(
    swarm: Scenario, moved: Replan
) -> None:
    found = confirmed(swarm.problem, moved)
    assert not found.worth
    assert found.chosen is found.before
    assert "no gain that is sure" in found.reasons[0]
    back = replace(moved, before=moved.chosen, chosen=moved.before)
    assert confirmed(swarm.problem, back) is back


def test_an_overloaded_or_broken_plan_is_left_without_a_trial(
    swarm: Scenario, moved: Replan
) -> None:
    back = replace(moved, before=moved.chosen, chosen=moved.before)
    assert confirmed(at_load(swarm.problem, 1e4), back) is back
    broken = replace(back, forced=True)
    assert confirmed(swarm.problem, broken) is broken


def test_an_overload_has_no_response(swarm: Scenario, moved: Replan, tmp_path: Path) -> None:
    heavy = replace(swarm, problem=at_load(swarm.problem, 1e4))
    document = migration_document(moved, heavy, Terms())
    assert [option["response_s"] for option in document["options"]] == [None] * len(moved.options)


def test_nobody_moves_right_after_a_plan_was_made(swarm: Scenario) -> None:
    made = api.plan(swarm, "auto", settings=SETTINGS)
    found = replanned(
        swarm.problem,
        made.placement,
        "auto",
        settings=SETTINGS,
        terms=Terms(),
        router=made.router,
    )
    assert not found.worth
