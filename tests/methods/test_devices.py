"""Servers of single clients: their own devices, and who may not use them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmplan import api
from swarmplan.core.errors import ScenarioError
from swarmplan.core.plan import Hop, Route
from swarmplan.core.problem import Problem
from swarmplan.methods.draft import Settings
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.sessions import unloaded_response_s
from swarmplan.routing.alternatives import cheapest_chains_through
from swarmplan.scenarios.scenario import Scenario, scenario_of
from swarmplan.simulator.engine import simulate
from swarmplan.workload.draw import draw_requests

SETTINGS = Settings(time_limit_s=5.0)


def swarm(memory_gb: float = 0.2, decode_ms: float = 4.0, **device: Any) -> Scenario:
    """Four servers for all, a device of the client ``home``, and another client."""
    raw = {
        "format": "swarmplan/scenario/1",
        "name": "home",
        "model": {"name": "toy", "num_blocks": 12, "hidden_size": 1024, "block_mb": 27,
                  "cache_bytes_per_token": 4096},
        "devices": {
            "far": {"memory_gb": 0.25, "decode_ms": 5},
            "laptop": {"memory_gb": memory_gb, "decode_ms": decode_ms},
        },
        "network": {"step_overhead_ms": 5, "prefill_overhead_ms": 10},
        "servers": [
            {"id": "far", "device": "far", "count": 4, "lat": 52, "lon": 9},
            {"id": "mine", "device": "laptop", "lat": 41, "lon": 2, "only": ["home"],
             "local": True, **device},
        ],
        "clients": [{"id": "home", "lat": 41, "lon": 2}, {"id": "office", "lat": 41, "lon": 2}],
        "workload": {"requests": 30, "streams": [
            {"client": c, "rate_per_s": 0.3, "prompt_tokens": 50, "output_tokens": 20}
            for c in ("home", "office")]},
    }  # fmt: skip
    return scenario_of(raw, Path("home.toml"))


@pytest.mark.parametrize("method", ["cg-bp", "exact", "chains", "auto"])
def test_a_device_serves_its_client_alone_and_makes_it_faster(method: str) -> None:
    scenario = swarm()
    made = api.plan(scenario, method, sessions=4, settings=SETTINGS)
    assert not [f for f in api.verify(scenario, made) if f.grave]
    routes = {c: [r.route for r in made.routes if r.client == c] for c in (0, 1)}
    assert all(4 in r.servers for r in routes[0])
    assert not any(4 in r.servers for r in routes[1])
    times = {p.client: p.tpot_s for p in made.predicted}
    assert times[0] < times[1]


def test_it_takes_the_window_with_which_its_client_is_fastest() -> None:
    scenario = swarm(memory_gb=0.1)
    made = api.plan(scenario, "cg-bp", sessions=2, settings=SETTINGS)
    problem, placement = scenario.problem, made.placement
    cost = CostModel.of(problem)
    count = int(placement.num_blocks[4])
    assert count == 3
    spans = list(zip(placement.start.tolist(), placement.end.tolist(), strict=True))
    every = [
        unloaded_response_s(cost, cost.placed([*spans[:4], (a, a + count)]), 0)
        for a in range(12 - count + 1)
    ]
    mine = cost.placed([*spans[:4], spans[4]])
    assert unloaded_response_s(cost, mine, 0) == pytest.approx(min(every))


def test_a_device_that_is_too_slow_or_too_small_idles() -> None:
    for scenario in (swarm(decode_ms=500.0), swarm(memory_gb=0.02)):
        made = api.plan(scenario, "cg-bp", sessions=2, settings=SETTINGS)
        assert made.placement.num_blocks[4] == 0
        assert any("idle" in note for note in made.notes)


def test_a_device_for_all_clients_is_a_server_like_others() -> None:
    scenario = swarm(only=["home", "office"], local=False)
    assert not scenario.problem.own_devices
    made = api.plan(scenario, "cg-bp", sessions=2, settings=SETTINGS)
    assert not any("alone" in note for note in made.notes)


def test_nothing_goes_over_a_network_to_an_own_device() -> None:
    problem = swarm().problem
    cost = CostModel.of(problem)
    assert cost.step_hop_s[0, 4] == 0.0
    assert cost.step_hop_s[0, 0] > 0.02
    assert cost.prefill_hop_s(0, 50)[4] == 0.0
    assert cost.lacking == (frozenset(), frozenset({4}))
    route = Route(hops=(Hop(server=4, start=0, end=12),))
    placement = cost.placed([(0, 6), (6, 12), (0, 6), (6, 12), (0, 6)], cache_bytes=[10**8] * 5)
    office = cheapest_chains_through(cost, placement, cost.planned(1))
    assert [a.route for a in office if a.server == 4] == [None]
    assert not any(4 in a.route.servers for a in office if a.route)
    network, overhead, compute = cost.step_parts_s(route, cost.planned(0))
    assert [network, overhead] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert compute == pytest.approx(12 * 4e-3)


def test_a_route_over_the_device_of_another_is_refused() -> None:
    scenario = swarm()
    made = api.plan(scenario, "cg-bp", sessions=2, settings=SETTINGS)
    mine = next(r for r in made.routes if r.client == 0)
    swapped = tuple(replace(mine, client=r.client, sessions=r.sessions) for r in made.routes)
    found = api.verify(scenario, replace(made, routes=swapped))
    assert any("does not serve" in f.message for f in found)


@pytest.mark.parametrize("router", ["ws-rr", "overlap", "jffc", "petals"])
def test_no_router_uses_the_device_of_another(router: str) -> None:
    problem: Problem = swarm().problem
    cost = CostModel(problem)
    placement = cost.placed([(0, 6), (6, 12), (0, 6), (6, 12), (0, 6)], cache_bytes=[10**8] * 5)
    requests = draw_requests(problem, 1, num_requests=40)
    made = router_named(router)(cost, placement)
    found = simulate(problem, placement, made, requests)
    used = np.array([4 in r.servers for r in found.routes if r is not None])
    assert used[found.client == 0].any()
    assert not used[found.client == 1].any()


@pytest.mark.parametrize(
    ("device", "field"),
    [({"only": ["nobody"], "local": False}, "only"), ({"only": []}, "local"),
     ({"only": ["home", "office"]}, "local"), ({"count": 2}, "local")],
)  # fmt: skip
def test_what_is_wrong_of_a_device_is_named(device: dict[str, Any], field: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        swarm(**device)
    assert [p.path for p in caught.value.problems] == [f"servers[1].{field}"]
