"""Adapters chosen for methods, kept by routers, told by files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmplan import api
from swarmplan.core.errors import HeuristicFailedError, NoRouteError, ScenarioError
from swarmplan.core.events import ServerEvent
from swarmplan.methods.draft import Settings
from swarmplan.methods.replanning import kept, replanned
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.adapters import adapter_bytes
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.piece import piece
from swarmplan.placement.moves.replan import Terms
from swarmplan.routing.offline import best_routes
from swarmplan.scenarios.migrationfile import read_current
from swarmplan.scenarios.planfile import plan_document, read_plan, write_plan
from swarmplan.scenarios.scenario import Scenario, scenario_of
from swarmplan.simulator.engine import simulate
from swarmplan.studies.change import respanned
from swarmplan.swarm.launch import LaunchOptions, launch_files
from swarmplan.swarm.record import read_record, record_of
from swarmplan.workload.draw import draw_requests

SETTINGS = Settings(time_limit_s=5.0)


def swarm(count: int = 3, *, size_mb: float = 0.5, **more: Any) -> Scenario:
    """Eight servers of two types; a client for each adapter and one for the plain model."""
    names = [f"a{i}" for i in range(count)]
    clients = [{"id": "plain", "lat": 50, "lon": 5},
               *({"id": f"of-{n}", "lat": 50, "lon": 5, "adapter": n} for n in names)]  # fmt: skip
    raw = {
        "format": "swarmplan/scenario/1",
        "name": "adapted",
        "model": {
            "name": "toy",
            "num_blocks": 12,
            "hidden_size": 1024,
            "block_mb": 27,
            "cache_bytes_per_token": 4096,
        },
        "adapters": {n: {"block_mb": size_mb, "source": f"org/{n}"} for n in names},
        "devices": {"fast": {"memory_gb": 0.2, "decode_ms": 2}, "slow": {"memory_gb": 0.25,
                    "decode_ms": 6}},
        "servers": [
            {"id": "fast", "device": "fast", "count": 3, "lat": 50, "lon": 4},
            {"id": "slow", "device": "slow", "count": 5, "lat": 52, "lon": 9},
        ],
        "clients": clients,
        "workload": {
            "requests": 60,
            "streams": [
                {"client": c["id"], "rate_per_s": 1.0 / (1 + i), "prompt_tokens": 50,
                 "output_tokens": 20}
                for i, c in enumerate(clients)
            ],
        },
        **more,
    }  # fmt: skip
    return scenario_of(raw, Path("adapted.toml"))


@pytest.mark.parametrize("method", ["cg-bp", "exact", "chains", "petals"])
def test_every_method_loads_what_is_asked_for(method: str, tmp_path: Path) -> None:
    scenario = swarm()
    made = api.plan(scenario, method, sessions=6, settings=SETTINGS)
    assert not api.verify(scenario, made)
    loaded = made.placement.adapters
    assert {a for own in loaded for a in own} == {"a0", "a1", "a2"}
    asked = {i: c.adapter for i, c in enumerate(scenario.problem.clients)}
    assert {r.client for r in made.routes} == set(asked)
    for route in made.routes:
        name = asked[route.client]
        assert not name or all(name in loaded[j] for j in route.route.servers)
    # Nobody loads what is of no use.
    used = {j for r in made.routes if asked[r.client] for j in r.route.servers}
    assert sum(map(len, loaded)) <= 3 * len(used)
    path = tmp_path / "plan.json"
    write_plan(path, made, scenario)
    again = read_plan(path, scenario)
    assert again.placement == replace(made.placement, order=())
    assert not api.verify(scenario, again)


def test_memory_counts_adapters_and_a_plan_that_leaves_none_is_made_anew() -> None:
    small, large = swarm(2, size_mb=0.001), swarm(2, size_mb=12.0)
    light = api.plan(small, "cg-bp", sessions=6, settings=SETTINGS)
    heavy = api.plan(large, "cg-bp", sessions=6, settings=SETTINGS)
    assert not api.verify(large, heavy)
    assert not np.array_equal(light.placement.num_blocks, heavy.placement.num_blocks)
    cost = CostModel.of(heavy.placement.settled(large.problem))
    taken = sum(adapter_bytes(cost, heavy.placement).values())
    bare = CostModel.of(large.problem)
    every = np.arange(large.problem.num_servers)
    spans = heavy.placement.start, heavy.placement.end
    more = cost.weights_bytes(every, *spans) - bare.weights_bytes(every, *spans)
    assert 0 < more.sum() < np.sum(taken)
    with pytest.raises(HeuristicFailedError, match="adapters a0, a1"):
        api.plan(swarm(2, size_mb=150.0), "cg-bp", sessions=6, settings=SETTINGS)


def test_a_plan_without_them_or_with_others_is_refused() -> None:
    scenario = swarm()
    made = api.plan(scenario, "cg-bp", sessions=6, settings=SETTINGS)
    silent = replace(made, placement=replace(made.placement, adapters=()))
    assert any("which adapters" in f.message for f in api.verify(scenario, silent))
    served = next(r for r in made.routes if scenario.problem.clients[r.client].adapter)
    name = scenario.problem.clients[served.client].adapter
    first = served.route.servers[0]
    loaded = list(made.placement.adapters)
    loaded[first] = tuple(a for a in loaded[first] if a != name)
    less = replace(made, placement=replace(made.placement, adapters=tuple(loaded)))
    assert any(f"adapter '{name}'" in f.message for f in api.verify(scenario, less))
    every = tuple(("a0", "a1", "a2") for _ in loaded)
    full = replace(made, placement=replace(made.placement, adapters=every))
    tight = swarm(size_mb=40.0)
    assert any("take" in f.message for f in api.verify(tight, full))


@pytest.mark.parametrize("router", ["ws-rr", "overlap", "jffc", "petals", "shortest", "joint"])
def test_no_router_leaves_the_servers_of_an_adapter_when_others_fail(router: str) -> None:
    problem = swarm().problem
    bare = [(0, 6), (0, 6), (6, 12), (6, 12), (0, 6), (6, 12), (0, 12), (0, 4)]
    loaded = [("a0",), ("a1", "a2"), ("a0",), ("a1", "a2"), ("a2",), (), ("a0", "a1", "a2"), ()]
    settled = problem.with_adapters([tuple(own) for own in loaded])
    cost = CostModel(settled)
    pools = [10**8] * 8
    placement = replace(cost.placed(bare, cache_bytes=pools), adapters=tuple(map(tuple, loaded)))
    requests = draw_requests(settled, 3, num_requests=60)
    events = [
        ServerEvent(time_s=t, server=j, up=up)
        for t, j, up in [(4.0, 1, False), (9.0, 1, True), (14.0, 2, False), (20.0, 2, True)]
    ]
    made = router_named(router)(cost, placement)
    found = simulate(settled, placement, made, requests, events=events)
    seen = [(c, r) for c, r in zip(found.client.tolist(), found.routes, strict=True) if r]
    assert len(seen) > 50
    assert all(cost.lacking[c].isdisjoint(r.servers) for c, r in seen)
    assert len({r.servers for c, r in seen if problem.clients[c].adapter == "a0"}) >= 1


def test_a_client_without_a_chain_of_its_adapter_is_told_so() -> None:
    problem = swarm(1).problem.with_adapters([()] * 8)
    cost = CostModel(problem)
    placement = cost.placed([(0, 12)] * 8, cache_bytes=[10**8] * 8)
    demand = SETTINGS.task(problem, "latency", sessions=4).demand
    with pytest.raises(NoRouteError, match="servers that load 'a0'"):
        best_routes(cost, placement, demand)
    requests = draw_requests(problem, 0, num_requests=20)
    found = simulate(problem, placement, router_named("jffc")(cost, placement), requests)
    refused = [s for s, c in zip(found.status, found.client, strict=True) if c == 1]
    assert refused
    assert set(refused) == {"rejected"}


def test_capacity_is_told_with_adapters_loaded() -> None:
    scenario = swarm()
    found = api.capacity(scenario, settings=SETTINGS)
    assert all(len(c.placement.adapters) == 8 for c in found.carriers)
    assert 0 < found.best.found_per_s <= found.best.carried.rate_per_s * (1 + 1e-9)
    assert found.best.carried.rate_per_s <= found.most_per_s
    made = api.plan_for(scenario, found, settings=SETTINGS)
    assert made.placement.adapters == found.best.placement.adapters
    assert not [f for f in api.verify(scenario, made) if f.grave]


def test_moves_and_edits_keep_the_adapters_of_servers(tmp_path: Path) -> None:
    scenario = swarm()
    made = api.plan(scenario, "cg-bp", sessions=6, settings=SETTINGS)
    path = tmp_path / "plan.json"
    write_plan(path, made, scenario)
    current, router, _, _ = read_current(path, scenario)
    assert current.adapters == made.placement.adapters
    found = replanned(
        scenario.problem, current, "cg-bp", settings=SETTINGS, terms=Terms(), router=router
    )
    assert found.chosen.placement.adapters == made.placement.adapters
    again = api.plan(scenario, kept(found.chosen.placement, router), settings=SETTINGS)
    assert again.placement.adapters == made.placement.adapters
    fewer = swarm(2)
    spans = respanned(made.placement, scenario, fewer)
    assert {a for own in spans.adapters for a in own} == {"a0", "a1"}


def test_launch_files_and_published_plans_carry_them() -> None:
    scenario = swarm()
    made = api.plan(scenario, "cg-bp", sessions=6, settings=SETTINGS)
    rows = {s.id: j for j, s in enumerate(scenario.problem.servers)}
    for one in launch_files(made, scenario, LaunchOptions(model="toy")):
        own = made.placement.adapters[rows[one.server]]
        assert ("--adapters" in one.command) is bool(own)
        if own:
            at = one.command.index("--adapters") + 1
            assert one.command[at : at + len(own)] == tuple(f"org/{a}" for a in own)
            assert one.command[at + len(own)].startswith("--")
    content = plan_document(made, scenario)
    packed = record_of(scenario, content, prefix="p", version=1, now_s=1e6, valid_s=100.0)
    live = read_record(packed, prefix="p", now_s=1e6)
    for name, j in rows.items():
        assert live.hosting.adapters[name] == tuple(f"org/{a}" for a in made.placement.adapters[j])
    part = piece(live.problem, 3, 9)
    assert CostModel(part).lacking == CostModel(live.problem).lacking


def test_explanations_and_plans_name_them(capsys: pytest.CaptureFixture[str]) -> None:
    from swarmplan.views.explanation import explanations_document, print_explanations
    from swarmplan.views.plan import adapter_rows, print_plan

    scenario = swarm()
    made = api.plan(scenario, "cg-bp", sessions=6, settings=SETTINGS)
    found = api.explain(scenario, made)
    told = explanations_document(scenario.problem, found)["clients"]
    assert [c.get("adapter") for c in told] == [None, "a0", "a1", "a2"]
    print_explanations(scenario.problem, found)
    print_plan(scenario.problem, made)
    text = capsys.readouterr().out
    assert "adapter: a1" in text
    rows = adapter_rows(scenario.problem, made)
    assert [row[0] for row in rows] == ["a0", "a1", "a2"]
    assert sum(int(str(row[2])) for row in rows) == sum(map(len, made.placement.adapters))


def test_plans_of_models_without_adapters_do_not_name_them() -> None:
    scenario = api.load(Path(__file__).parents[2] / "scenarios" / "tiny.toml")
    made = api.plan(scenario, "cg-bp", settings=SETTINGS)
    assert "adapters" not in json.dumps(plan_document(made, scenario))


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"adapters": {"a0": {"rank": 4}}}, "adapters.a0.rank"),
        ({"adapters": {"a0": {"rank": 4, "modules": ["q"]}}}, "adapters.a0.modules"),
        ({"adapters": {"a0": {"rank": 4, "block_mb": 2.0}}}, "adapters.a0.rank"),
        ({"adapters": {"other": {}}}, "clients[1].adapter"),
        ({"servers": [{"id": "x", "device": "fast", "lat": 1, "lon": 1, "adapters": ["no"]}]},
         "servers[0].adapters"),
        ({"servers": [{"id": "x", "device": "fast", "lat": 1, "lon": 1, "adapters": ["a0", "a0"]}]},
         "servers[0].adapters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(more: dict[str, Any], field: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        swarm(1, **more)
    assert any(p.path == field for p in caught.value.problems)


def test_adapters_of_no_known_size_are_warned_of() -> None:
    scenario = swarm(1, adapters={"a0": {"source": "org/a0"}})
    assert any("no size is known of 1 adapter" in w for w in scenario.warnings)
