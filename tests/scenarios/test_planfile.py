"""Plan files: a round trip, byte-equality, and edits by hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swarmplan import api
from swarmplan.core.errors import ScenarioError
from swarmplan.core.objective import MEAN_RESPONSE, STEP, WEIGHTED_STEP, Objective
from swarmplan.core.plan import Candidate, Certificate, Trial
from swarmplan.methods.verify import sound, verify
from swarmplan.scenarios.planfile import EDITED, STALE, plan_document, read_plan, write_plan
from swarmplan.scenarios.scenario import Scenario, load_scenario

TINY = Path(__file__).resolve().parents[2] / "scenarios" / "tiny.toml"


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario(TINY)


def test_a_plan_comes_back_as_it_was_written(scenario: Scenario, tmp_path: Path) -> None:
    plan = api.plan(scenario.problem, "cg-bp", seed=3)
    told = Candidate(
        placement="x", router="y", bound=1.0, figure=None, requests=3, verdict="dropped"
    )
    plan = replace(
        plan,
        certificate=Certificate(
            objective=Objective(goal=MEAN_RESPONSE, value=2.0, bound=1.5),
            proof="p",
            interrupted=True,
            trial=Trial(seed=4, requests=500, admission="queue"),
        ),
        unrouted=1,
        notes=("a note",),
        candidates=(told,),
    )
    write_plan(tmp_path / "a.json", plan, scenario)
    again = read_plan(tmp_path / "a.json", scenario)
    # The order of placing is not kept, and milliseconds are rounded.
    assert replace(again, predicted=()) == replace(
        plan, predicted=(), placement=replace(plan.placement, order=())
    )
    assert again.remarks == ()
    write_plan(tmp_path / "b.json", again, scenario)
    first, second = (json.loads((tmp_path / n).read_text()) for n in ("a.json", "b.json"))
    for one, two in zip(first["predicted"], second["predicted"], strict=True):
        assert one.pop("client") == two.pop("client")
        assert one == pytest.approx(two, rel=1e-12)
    for document in (first, second):
        del document["predicted"], document["sha256"]
    assert first == second


def edits(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every number of the decision, of the figures and of the proof, changed by itself."""
    places: list[tuple[tuple[str | int, ...], str]] = [
        (("placement", i), name)
        for i in range(len(document["placement"]))
        for name in ("start_block", "end_block", "cache_bytes")
    ]
    places += [
        (("routes", r, "hops", h), name)
        for r, route in enumerate(document["routes"])
        for h in range(len(route["hops"]))
        for name in ("start_block", "end_block")
    ]
    places += [(("routes", r), "sessions") for r in range(len(document["routes"]))]
    places += [
        (("predicted", p), name)
        for p in range(len(document["predicted"]))
        for name in ("ttft_ms", "tpot_ms", "response_ms")
    ]
    places += [(("certificate", "objective"), name) for name in ("value", "bound", "gap")]
    places += [((), "sessions"), ((), "unrouted")]
    for path, name in places:
        changed = copy.deepcopy(document)
        target: Any = changed
        for step in path:
            target = target[step]
        # A larger start may leave a sound plan with a smaller span; a smaller one takes memory.
        target[name] = (target[name] or 0) + (-1 if name == "start_block" else 1)
        yield f"{path} {name}", changed


def test_every_number_edited_by_itself_is_found(scenario: Scenario, tmp_path: Path) -> None:
    document = plan_document(api.plan(scenario.problem, "cg-bp"), scenario)
    path = tmp_path / "edited.json"
    unseen = []
    for what, changed in edits(document):
        path.write_text(json.dumps(changed))
        try:
            found = not sound(verify(scenario.problem, read_plan(path, scenario)))
        except ScenarioError:
            found = True
        if not found:
            unseen.append(what)
    assert unseen == []


def test_a_plan_of_another_scenario_says_so(scenario: Scenario, tmp_path: Path) -> None:
    document = plan_document(api.plan(scenario.problem, "cg-bp"), scenario)
    document["scenario_sha256"] = "0" * 64
    path = tmp_path / "stale.json"
    path.write_text(json.dumps(document))
    assert STALE in read_plan(path, scenario).remarks


def test_an_edited_file_is_told_from_one_as_it_was_written(
    scenario: Scenario, tmp_path: Path
) -> None:
    document = plan_document(api.plan(scenario.problem, "cg-bp"), scenario)
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(document))
    assert read_plan(path, scenario).remarks == ()
    document["notes"] = ["by hand"]
    path.write_text(json.dumps(document))
    assert read_plan(path, scenario).remarks == (EDITED,)
    del document["sha256"]
    path.write_text(json.dumps(document))
    assert read_plan(path, scenario).remarks == ()


def in_the_first_format(document: dict[str, Any], **certificate: Any) -> dict[str, Any]:
    """The same plan as ``swarmplan/plan/1`` had it."""
    old = {k: v for k, v in document.items() if k not in ("unrouted", "sha256")}
    objective = document["certificate"]["objective"]
    proof = {
        "status": document["certificate"]["status"],
        "objective": objective["value"],
        "bound": objective["bound"],
        "gap": objective["gap"],
        "method": "knapsack over servers",
        "meaning": "seconds per output token, summed over the planned sessions",
    }
    return {**old, "format": "swarmplan/plan/1", "certificate": {**proof, **certificate}}


def test_a_plan_of_the_first_format_is_read_as_it_was_meant(
    scenario: Scenario, tmp_path: Path
) -> None:
    plan = api.plan(scenario.problem, "cg-bp")
    path = tmp_path / "old.json"
    path.write_text(json.dumps(in_the_first_format(plan_document(plan, scenario))))
    again = read_plan(path, scenario)
    assert again.certificate.objective == plan.certificate.objective
    assert again.certificate.objective.goal == STEP
    assert (again.routes, again.sessions, again.unrouted) == (plan.routes, plan.sessions, 0)
    assert sound(verify(scenario.problem, again))


def test_what_the_first_format_said_otherwise_is_put_into_today_s_words(
    scenario: Scenario, tmp_path: Path
) -> None:
    document = plan_document(api.plan(scenario.problem, "cg-bp"), scenario)
    old = in_the_first_format(
        document,
        status="limit",
        method="search, interrupted",
        meaning="step time weighted by tokens",
    )
    old["sessions"] += 2
    del old["router"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old))
    again = read_plan(path, scenario)
    assert again.certificate.objective.goal == WEIGHTED_STEP
    assert (again.certificate.status, again.certificate.interrupted) == ("feasible", True)
    assert (again.unrouted, again.router) == (2, "ws-rr")


def test_defects_of_the_first_format_are_told_as_those_of_a_plan_file(
    scenario: Scenario, tmp_path: Path
) -> None:
    document = plan_document(api.plan(scenario.problem, "cg-bp"), scenario)
    old = in_the_first_format(document)
    del old["certificate"]["bound"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old))
    with pytest.raises(ScenarioError) as caught:
        read_plan(path, scenario)
    assert any(p.path.startswith("certificate") for p in caught.value.problems)


def test_names_that_the_scenario_lacks_are_listed_with_their_fields(
    scenario: Scenario, tmp_path: Path
) -> None:
    document = plan_document(api.plan(scenario.problem, "cg-bp"), scenario)
    document["placement"][1]["server"] = document["placement"][0]["server"]
    document["routes"][0]["client"] = "nobody"
    document["routes"][0]["hops"][0]["server"] = "nothing"
    document["predicted"][0]["client"] = "nobody"
    path = tmp_path / "named.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ScenarioError) as caught:
        read_plan(path, scenario)
    assert [p.path for p in caught.value.problems] == [
        "placement[1].server",
        "routes[0].client",
        "routes[0].hops[0].server",
        "predicted[0].client",
    ]
