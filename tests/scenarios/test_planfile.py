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
from swarmplan.core.plan import Candidate, Certificate
from swarmplan.perfmodel.predict import verify
from swarmplan.scenarios.planfile import STALE, plan_document, read_plan, write_plan
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
            status="feasible", objective=2.0, bound=1.5, method="m", meaning="t"
        ),
        notes=("a note",),
        candidates=(told,),
    )
    write_plan(tmp_path / "a.json", plan, scenario)
    again = read_plan(tmp_path / "a.json", scenario)
    for name in ("method", "routes", "certificate", "sessions", "seed", "notes", "router"):
        assert getattr(again, name) == getattr(plan, name)
    assert again.candidates == (told,)
    for name in ("start", "end", "cache_bytes"):
        mine, back = getattr(plan.placement, name), getattr(again.placement, name)
        assert mine.tolist() == back.tolist()
    write_plan(tmp_path / "b.json", again, scenario)
    first, second = (json.loads((tmp_path / n).read_text()) for n in ("a.json", "b.json"))
    for one, two in zip(first["predicted"], second["predicted"], strict=True):
        assert one.pop("client") == two.pop("client")
        assert one == pytest.approx(two, rel=1e-12)
    del first["predicted"], second["predicted"]
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
    places += [(("certificate",), "objective"), (("certificate",), "gap")]
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
            found = bool(verify(scenario.problem, read_plan(path, scenario)))
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
    assert STALE in read_plan(path, scenario).notes


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
