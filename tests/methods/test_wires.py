"""By what states go over links: chosen for methods, kept by routers, told by files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmplan import api
from swarmplan.chains.soundness import overharmed
from swarmplan.core.errors import ScenarioError
from swarmplan.core.events import ServerEvent
from swarmplan.methods.draft import Settings
from swarmplan.methods.replanning import replanned
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.accuracy import harm_of, percent_of
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.moves.replan import Terms
from swarmplan.scenarios.accuracy import narrowed
from swarmplan.scenarios.migrationfile import read_current
from swarmplan.scenarios.planfile import plan_document, read_plan, write_plan
from swarmplan.scenarios.scenario import Scenario, load_scenario, scenario_of
from swarmplan.simulator.engine import simulate
from swarmplan.studies.accuracy import tradeoffs
from swarmplan.studies.change import respanned
from swarmplan.swarm.launch import LaunchOptions, launch_files
from swarmplan.swarm.record import read_record, record_of
from swarmplan.workload.draw import draw_requests

SETTINGS = Settings(time_limit_s=60.0)
SCENARIOS = Path(__file__).parents[2] / "scenarios"
PACKED = ["none", "uniform_8bit"]


def document(**network: object) -> dict[str, Any]:
    """Six servers of two types with slow links, two clients."""
    return {
        "format": "swarmplan/scenario/1",
        "name": "thin",
        "model": {
            "name": "toy",
            "num_blocks": 12,
            "hidden_size": 8192,
            "block_mb": 27,
            "cache_bytes_per_token": 4096,
        },
        "accuracy": {"wire_harm": {"uniform_8bit": 0.5}, "harm": {"nf4": 0.0}},
        "devices": {"fast": {"memory_gb": 0.2, "decode_ms": 2}, "slow": {"memory_gb": 0.15,
                    "decode_ms": 6}},
        "servers": [
            {"id": "fast", "device": "fast", "count": 3, "lat": 50, "lon": 4,
             "bandwidth_mbit_per_s": 2},
            {"id": "slow", "device": "slow", "count": 3, "lat": 52, "lon": 9,
             "bandwidth_mbit_per_s": 20},
        ],
        "network": network,
        "clients": [{"id": "near", "lat": 50, "lon": 5}, {"id": "far", "lat": 41, "lon": 2}],
        "workload": {
            "requests": 40,
            "streams": [
                {"client": c, "rate_per_s": 0.5, "prompt_tokens": 50, "output_tokens": 20}
                for c in ("near", "far")
            ],
        },
    }  # fmt: skip


def swarm(budget: float | None = None, wire: object = PACKED, **network: object) -> Scenario:
    """The same where states may go in these ways."""
    raw = document(wire=wire, **network)
    if budget is not None:
        raw["accuracy"]["budget"] = budget
    return scenario_of(raw, Path("thin.toml"))


@pytest.mark.parametrize("method", ["cg-bp", "exact", "chains"])
def test_every_method_sends_as_is_best_within_the_budgets(method: str, tmp_path: Path) -> None:
    reached = []
    for budget in (0.0, 0.6, 5.0):
        scenario = swarm(budget)
        made = api.plan(scenario, method, sessions=4, settings=SETTINGS)
        assert not api.verify(scenario, made)
        cost = CostModel(made.placement.settled(scenario.problem))
        assert not list(overharmed(cost, made.routes))
        used = [made.placement.wire[h.server] for r in made.routes for h in r.route.hops]
        assert ("uniform_8bit" in used) == (budget > 0)
        reached.append(sum(r.sessions * cost.step_s(r.route, cost.planned(r.client))
                           for r in made.routes))  # fmt: skip
        path = tmp_path / f"{budget}.json"
        write_plan(path, made, scenario)
        again = read_plan(path, scenario)
        assert again.placement.wire == made.placement.wire
        assert not api.verify(scenario, again)
    assert reached == sorted(reached, reverse=True)
    assert reached[0] > reached[-1]


def test_no_method_does_worse_than_with_one_wire_for_all() -> None:
    for budget in (0.6, 5.0):
        free = api.plan(swarm(budget), "exact", sessions=4, settings=SETTINGS)
        assert free.certificate.status == "optimal"
        plain = api.plan(swarm(budget, "none"), "exact", sessions=4, settings=SETTINGS)
        best = plain.certificate.objective.value or 0.0
        assert (free.certificate.objective.value or 0.0) <= best * (1 + 1e-9)
    packed = api.plan(swarm(5.0, "uniform_8bit"), "exact", sessions=4, settings=SETTINGS)
    assert free.certificate.objective.value == pytest.approx(packed.certificate.objective.value)


def test_the_verifier_fails_a_plan_whose_wires_harm_beyond_the_budget(tmp_path: Path) -> None:
    scenario = swarm(0.6)
    assert not scenario.warnings
    made = api.plan(scenario, "exact", sessions=2, settings=SETTINGS)
    content = plan_document(made, scenario)
    assert {placed["wire"] for placed in content["placement"]} <= set(PACKED)
    for placed in content["placement"]:
        placed["wire"] = "uniform_8bit"
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(content))
    findings = api.verify(scenario, read_plan(path, scenario))
    assert any("accuracy" in f.message for f in findings)
    del content["placement"][0]["wire"]
    path.write_text(json.dumps(content))
    with pytest.raises(
        ScenarioError, match=r"placement\[0\].wire: is missing.*can send by none, u"
    ):
        read_plan(path, scenario)


def test_where_nothing_is_gained_states_go_as_they_are() -> None:
    raw = document(wire=PACKED)
    for server in raw["servers"]:
        del server["bandwidth_mbit_per_s"]
    raw["servers"] += [{"id": "own", "device": "fast", "lat": 50, "lon": 5, "only": ["near"],
                        "local": True, "bandwidth_mbit_per_s": 1}]  # fmt: skip
    scenario = scenario_of(raw, Path("free.toml"))
    assert not scenario.problem.chooses_wire
    assert [w for w in scenario.warnings if w.startswith("7 server(s) do not choose among wires")]
    made = api.plan(scenario, "exact", sessions=2, settings=SETTINGS)
    assert "wire" not in json.dumps(plan_document(made, scenario)["placement"])
    # Likewise where a tie comes from elsewhere: one that harms nothing and gains nothing.
    problem = swarm().problem
    network = replace(problem.network, client_bandwidth_bytes_per_s=None)
    assert problem.accuracy is not None
    harmless = replace(problem.accuracy, wire=(("uniform_8bit", 0.0),))
    problem = replace(problem, network=network, accuracy=harmless)
    for method in ("exact", "cg-bp"):
        made = api.plan(problem, method, sessions=2, settings=SETTINGS)
        assert set(made.placement.wire) == {"none"}


def test_a_choice_needs_the_harm_of_a_hop_also_where_nothing_is_said_of_accuracy() -> None:
    raw = document(wire=PACKED)
    del raw["accuracy"]
    with pytest.raises(ScenarioError, match=r"accuracy.wire_harm.uniform_8bit: is missing"):
        scenario_of(raw, Path("thin.toml"))
    fixed = scenario_of({**raw, "network": {"wire": "uniform_8bit"}}, Path("thin.toml"))
    assert fixed.problem.accuracy is None
    assert {s.wire for s in fixed.problem.servers} == {"uniform_8bit"}


def test_packing_that_takes_longer_than_it_saves_is_left_out() -> None:
    made = api.plan(
        swarm(wire_us_per_token={"uniform_8bit": 1e6}), "exact", sessions=2, settings=SETTINGS
    )
    assert set(made.placement.wire) == {"none"}


@pytest.mark.parametrize("router", ["ws-rr", "overlap", "jffc", "petals"])
def test_no_router_leaves_a_budget_by_its_hops_when_servers_fail(router: str) -> None:
    wires = ["uniform_8bit", "none", "uniform_8bit", "none", "uniform_8bit", "none"]
    problem = swarm(1.1).problem.with_wires(wires)
    cost = CostModel(problem)
    placement = cost.placed([(0, 6), (0, 6), (6, 12), (0, 4), (4, 8), (8, 12)])
    requests = draw_requests(problem, 3, num_requests=30)
    events = [
        ServerEvent(time_s=t, server=j, up=up)
        for t, j, up in [(8.0, 1, False), (15.0, 1, True), (20.0, 2, False), (22.0, 2, True)]
    ]
    made = router_named(router)(cost, placement)
    found = simulate(problem, placement, made, requests, events=events)
    harms = [cost.route_harm(r) for r in found.routes if r is not None]
    assert len(harms) > 20
    assert 0 < max(harms) <= harm_of(1.1) + 1e-12


def test_a_choice_of_wires_is_narrowed_by_hand() -> None:
    problem = swarm().problem
    plain = narrowed(problem, wires=["none"])
    assert {(s.wire, s.wires) for s in plain.servers} == {("none", ())}
    assert narrowed(problem, wires=PACKED) == problem
    with pytest.raises(ScenarioError, match=r"--wire: leaves 'fast.*none of its own: none, unif"):
        narrowed(problem, wires=["blockwise_8bit"])


def test_everybody_who_reads_the_plan_sees_the_wires(tmp_path: Path) -> None:
    scenario = swarm(0.6)
    made = api.plan(scenario, "exact", sessions=4, settings=SETTINGS)
    own = dict(zip((s.id for s in scenario.problem.servers), made.placement.wire, strict=True))
    assert set(own.values()) == set(PACKED)
    for found in api.explain(scenario, made):
        assert list(found.wires) == [made.placement.wire[h.server] for h in found.route.hops]
        assert percent_of(found.harm or 0.0) <= 0.6 + 1e-9
    for one in launch_files(made, scenario, LaunchOptions(model="toy")):
        flags = one.command
        packed = "--compression" in flags
        assert packed == (own[one.server] != "none")
        if packed:
            assert flags[flags.index("--compression") + 1] == "UNIFORM_8BIT"
    content = plan_document(made, scenario)
    packed_plan = record_of(scenario, content, prefix="p", version=1, now_s=1e6, valid_s=100.0)
    assert read_record(packed_plan, prefix="p", now_s=1e6).wires == own
    path = tmp_path / "plan.json"
    write_plan(path, made, scenario)
    current, router, _, _ = read_current(path, scenario)
    assert current.wire == made.placement.wire
    moved = replanned(scenario.problem, current, "cg-bp", settings=SETTINGS, terms=Terms(),
                      router=router)  # fmt: skip
    assert moved.chosen.placement.wire == current.wire


def test_edits_keep_the_wires_of_servers_and_adapters_leave_them() -> None:
    raw = document(wire=PACKED)
    raw["accuracy"]["budget"] = 0.6
    raw["adapters"] = {"legal": {"block_mb": 0.5}}
    raw["clients"][0]["adapter"] = "legal"
    scenario = scenario_of(raw, Path("thin.toml"))
    made = api.plan(scenario, "exact", sessions=4, settings=SETTINGS)
    assert set(made.placement.wire) == set(PACKED)
    raw["servers"].append({**raw["servers"][0], "id": "new", "count": 1})
    raw["servers"][1]["wire"] = "none"
    wider = scenario_of(raw, Path("wider.toml"))
    kept = respanned(made.placement, scenario, wider)
    assert kept.wire == (*made.placement.wire[:3], "none", "none", "none", "none")


def test_a_problem_whose_choices_are_settled_has_none_left() -> None:
    problem = swarm().problem.with_wires(["uniform_8bit"] * 6)
    assert problem.chooses_hosting
    assert not problem.fixed.chooses_hosting
    assert {s.wire for s in problem.fixed.servers} == {"uniform_8bit"}


def test_an_interrupted_choice_has_no_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("swarmplan.methods.precision.chosen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        api.plan(swarm(), "exact", sessions=2, settings=SETTINGS)


def test_every_point_of_the_frontier_verifies_within_its_own_budget() -> None:
    points = tradeoffs(swarm().problem, 4)
    assert len(points) >= 3
    assert [p.harm for p in points] == sorted((p.harm for p in points), reverse=True)
    assert points[-1].harm == 0
    assert [p.step_s for p in points] == sorted(p.step_s for p in points)


def test_pipelines_pack_what_goes_over_thin_links() -> None:
    raw = document(
        wire=PACKED,
        relay="pipeline",
        server_mbit_per_s=np.where(np.eye(6, dtype=bool), 1e5, 2.0).tolist(),
    )
    for server in raw["servers"]:
        del server["bandwidth_mbit_per_s"]
    scenario = scenario_of(raw, Path("pipeline.toml"))
    made = api.plan(scenario, "cg-bp", sessions=2, settings=SETTINGS)
    assert not api.verify(scenario, made)
    assert "uniform_8bit" in made.placement.wire


def test_files_that_do_not_name_a_wire_plan_as_if_it_were_none() -> None:
    for name in ("tiny", "demo"):
        scenario = load_scenario(SCENARIOS / f"{name}.toml")
        made = api.plan(scenario, "cg-bp", settings=SETTINGS)
        text = json.dumps(plan_document(made, scenario))
        assert '"wire"' not in text
        assert all(s.hosting.wire == "none" and not s.wires for s in scenario.problem.servers)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"servers": {"wire": "float4"}}, r"servers\[0\].wire: "),
        ({"servers": {"wire": ["none", "none"]}}, r"servers\[0\].wire: names one twice"),
        ({"servers": {"wire": []}}, r"servers\[0\].wire: "),
        ({"network": {"wire": ["none", "none"]}}, r"network.wire: names one twice"),
        ({"network": {"wire": ["none", "quantile_8bit"]}},
         r"accuracy.wire_harm.quantile_8bit: is missing: give by how many per cent"),
        ({"accuracy": {"wire_harm": {"none": 1.0}}}, r"accuracy.wire_harm.none: is unknown"),
        ({"accuracy": {"wire_harm": {"uniform_8bit": -1}}}, r"accuracy.wire_harm.uniform_8bit: "),
        ({"network": {"wire_us_per_token": {"uniform_8bit": -1}}},
         r"network.wire_us_per_token.uniform_8bit: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_and_field(change: dict[str, Any], told: str) -> None:
    raw = document()
    for part, fields in change.items():
        target = raw[part][0] if part == "servers" else raw[part]
        target.update(fields)
    with pytest.raises(ScenarioError, match=rf"^thin.toml: {told}") as caught:
        scenario_of(raw, Path("thin.toml"))
    assert len(caught.value.problems) == 1
