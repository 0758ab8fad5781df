"""Groups of servers: entropy that is lost, and the bound on the time of plans made on groups."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan import api
from swarmplan.cli import main
from swarmplan.core.errors import SwarmplanError
from swarmplan.core.plan import Hop, PlannedRoute, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.methods.draft import Settings
from swarmplan.methods.verify import verify
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.offline import Shortest
from swarmplan.routing.state import SwarmState
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.studies.regions import (
    aggregate,
    entropy_bits,
    labels_of,
    levelled,
    read_by_groups,
    rows_of,
    times_on_groups,
    traffic,
)

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"
ORDERS = (0.0, 0.5, 1.0, 2.0, float("inf"))
weights = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30).filter(lambda w: sum(w) > 1e-6)


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


@given(weights, st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_entropy_splits_into_that_of_groups_and_that_within(
    drawn: list[float], groups: int, seed: int
) -> None:
    p = np.array(drawn) / sum(drawn)
    rows = np.random.default_rng(seed).integers(groups, size=len(p))
    between = np.bincount(rows, weights=p, minlength=groups)
    within = sum(
        between[g] * entropy_bits(p[rows == g] / between[g])
        for g in range(groups)
        if between[g] > 0
    )
    assert entropy_bits(p) == pytest.approx(entropy_bits(between) + within, abs=1e-12)


@given(weights, st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_aggregation_never_raises_entropy_of_any_order(
    drawn: list[float], groups: int, seed: int
) -> None:
    p = np.array(drawn) / sum(drawn)
    rows = np.random.default_rng(seed).integers(groups, size=len(p))
    between = np.bincount(rows, weights=p, minlength=groups)
    for order in ORDERS:
        assert entropy_bits(between, order) <= entropy_bits(p, order) + 1e-9


def test_nothing_is_lost_exactly_when_one_member_carries_all() -> None:
    assert entropy_bits([0.0, 1.0, 0.0]) == 0.0
    assert entropy_bits([0.25] * 4) == pytest.approx(2.0)
    assert entropy_bits([0.999, 0.001]) > 0.0


def swarm(make_problem: Callable[..., Problem], seed: int) -> Problem:
    """Nine servers in three regions, some limits and bandwidths; either relay."""
    rng = np.random.default_rng(seed)
    relay = ("client", "server")[seed % 2]
    problem = make_problem(rng, servers=9, clients=2, length=6, relay=relay)
    servers = tuple(
        replace(
            s,
            region=f"r{rng.integers(3)}",
            memory_bytes=int(rng.integers(3_000, 9_000)),
            max_blocks=int(rng.integers(2, 6)) if rng.random() < 0.3 else None,
        )
        for s in problem.servers
    )
    network = problem.network
    if rng.random() < 0.5:
        rate = rng.uniform(1e3, 1e6, size=network.client_rtt_s.shape)
        network = replace(network, client_bandwidth_bytes_per_s=rate)
        servers = tuple(
            replace(s, wire=str(rng.choice(["none", "blockwise_8bit"]))) for s in servers
        )
    return replace(problem, servers=servers, network=network)


def members_swapped(problem: Problem, route: Route, rng: np.random.Generator) -> Route:
    """The chain through other members of the same regions."""
    rows = rows_of([s.region for s in problem.servers])
    hops, last = [], -1
    for h in route.hops:
        found = [int(j) for j in rows[problem.servers[h.server].region] if j != last]
        last = int(rng.choice(found)) if found else h.server
        hops.append(Hop(server=last, start=h.start, end=h.end))
    return Route(hops=tuple(hops))


def test_plans_made_on_groups_stay_within_the_reported_bound_on_100_random_swarms(
    make_problem: Callable[..., Problem],
) -> None:
    planned = 0
    for seed in range(100):
        problem = swarm(make_problem, seed)
        rng = np.random.default_rng(seed + 1_000)
        try:
            found = aggregate(problem, labels_of(problem, "region"), "cg-bp", Settings())
        except SwarmplanError:
            continue
        if found.plan is None:
            assert found.error
            continue
        planned += 1
        truth = replace(found.plan, predicted=())
        assert not [f for f in verify(problem, truth) if "predicted" not in f.where]
        for t in found.times:
            for name, bound in (("tpot_s", t.bound_s), ("response_s", t.response_bound_s)):
                worst, true, best = (getattr(p, name) for p in (t.worst, t.true, t.best))
                assert best - 1e-9 <= true <= worst + 1e-9
                assert worst - true <= bound + 1e-9
        other = [
            PlannedRoute(
                client=r.client,
                sessions=r.sessions,
                route=members_swapped(problem, r.route, rng),
            )
            for r in found.plan.routes
        ]
        labels = labels_of(problem, "region")
        for t in times_on_groups(problem, labels, other):
            assert t.best.response_s - 1e-9 <= t.true.response_s <= t.worst.response_s + 1e-9
    assert planned >= 90


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_a_chain_chosen_on_groups_is_no_farther_from_the_best_than_the_bound_of_the_best(
    make_problem: Callable[..., Problem], seed: int
) -> None:
    problem = swarm(make_problem, seed)
    labels = labels_of(problem, "region")
    try:
        placement = api.plan(problem, "cg-bp").placement
    except SwarmplanError:
        return
    worst, best = (levelled(problem, labels, side) for side in ("worst", "best"))
    request = Request(
        id=0, client=0, arrival_s=0.0, prompt_tokens=10, output_tokens=9, reserved_tokens=19
    )

    state = SwarmState(CostModel.of(problem), placement)

    def chosen(view: Problem) -> Route:
        return Shortest(CostModel.of(view), placement)(request, state, 0.0).route

    def total(view: Problem, route: Route) -> float:
        cost = CostModel.of(view)
        return cost.route_time(route, cost.shape(0, 10, 9)).total_s

    right, grouped = chosen(problem), chosen(worst)
    loss = total(problem, grouped) - total(problem, right)
    assert -1e-9 <= loss <= total(worst, right) - total(best, right) + 1e-9


def test_the_bound_is_the_sum_of_the_spreads_of_the_hops_and_blocks(
    make_problem: Callable[..., Problem],
) -> None:
    problem = make_problem(np.random.default_rng(5), servers=6, clients=1, length=6)
    labels = ["a", "a", "a", "b", "b", "c"]
    hops = (Hop(server=1, start=0, end=2), Hop(server=4, start=2, end=5))
    route = Route(hops=(*hops, Hop(server=5, start=5, end=6)))
    found = times_on_groups(problem, labels, [PlannedRoute(client=0, sessions=1, route=route)])
    cost = CostModel.of(problem)
    hop, block = cost.step_hop_s[0], cost.step_run_s(14).dearest_block()
    rows = rows_of(labels)
    expected = sum(
        np.ptp(hop[rows[labels[h.server]]]) + len(h) * np.ptp(block[rows[labels[h.server]]])
        for h in route.hops
    )
    assert found[0].bound_s == pytest.approx(expected, rel=1e-12)


def test_single_servers_as_groups_lose_nothing(make_problem: Callable[..., Problem]) -> None:
    for seed in range(10):
        problem = swarm(make_problem, seed)
        own = [s.id for s in problem.servers]
        assert levelled(problem, own, "worst").servers == problem.servers
        same = levelled(problem, own, "best").network
        assert np.array_equal(same.server_rtt_s, problem.network.server_rtt_s)
        assert np.array_equal(same.client_rtt_s, problem.network.client_rtt_s)


def test_groups_tell_what_they_hold_and_add_up() -> None:
    problem = load_scenario(FOLDER / "data-centres.toml").problem
    plan = api.plan(problem, "cg-bp")
    assert traffic(problem, plan.routes).sum() == pytest.approx(1.0)
    regions = read_by_groups(problem, labels_of(problem, "region", mixed=True), plan.routes)
    sites = read_by_groups(problem, labels_of(problem, "site"), plan.routes)
    assert [len(r.groups) for r in (regions, sites)] == [5, 112]
    for reading in (regions, sites):
        assert sum(len(g.rows) for g in reading.groups) == 1000
        assert sum(g.share for g in reading.groups) == pytest.approx(1.0)
        assert reading.total_bits == pytest.approx(reading.between_bits + reading.lost_bits)
    assert sites.lost_bits < regions.lost_bits  # splitting never loses more
    assert any(g.name == "frankfurt (50.1, 8.7) a100" for g in sites.groups)


def test_like_servers_of_one_data_centre_lose_no_time() -> None:
    problem = load_scenario(FOLDER / "data-centres.toml").problem
    found = aggregate(problem, labels_of(problem, "site"), "cg-bp", Settings())
    assert max(t.bound_s for t in found.times) == pytest.approx(0.0, abs=1e-12)
    assert found.lost_blocks == 0


def test_servers_without_region_or_place_stand_alone() -> None:
    problem = load_scenario(FOLDER / "tiny.toml").problem
    for by in ("region", "site"):
        assert len(rows_of(labels_of(problem, by))) == 4


def test_the_command_tells_what_is_lost() -> None:
    done = run("regions", FOLDER / "cloud.toml", "--mixed")
    assert done.exit_code == 0
    for part in ("bits are lost", "errs by at most", "blocks less fit", "us-east-1"):
        assert part in done.stdout
    told = json.loads(run("regions", FOLDER / "cloud.toml", "--by", "site", "--json").stdout)
    assert told["total_bits"] == pytest.approx(told["between_bits"] + told["lost_bits"])
    assert sum(len(g["servers"]) for g in told["groups"]) == 13


def test_groups_whose_smallest_members_hold_no_block_have_no_plan(
    make_problem: Callable[..., Problem],
) -> None:
    problem = make_problem(np.random.default_rng(3), servers=6, clients=1, length=6)
    large = [replace(s, memory_bytes=9_000) for s in problem.servers]
    small = [replace(s, id=f"{s.id}-small", memory_bytes=500) for s in problem.servers]
    network = replace(
        problem.network,
        client_rtt_s=np.tile(problem.network.client_rtt_s, 2),
        server_rtt_s=np.tile(np.asarray(problem.network.server_rtt_s), (2, 2)),
    )
    both = replace(problem, servers=(*large, *small), network=network)
    found = aggregate(both, ["all"] * 12, "cg-bp", Settings())
    assert found.plan is None
    assert found.times == ()
    assert found.error
    assert found.lost_blocks == 6 * 6


def test_a_group_is_as_thick_or_as_thin_on_the_wire_as_its_members(tiny: Problem) -> None:
    model = replace(tiny.model, hidden_size=4_096, activation_bytes_per_token=8_192)
    wires = ("none", "uniform_8bit", "none", "none")
    servers = tuple(replace(s, wire=w) for s, w in zip(tiny.servers, wires, strict=True))
    problem = replace(tiny, model=model, servers=servers)
    labels = ["a", "a", "b", "b"]
    worst, best = levelled(problem, labels, "worst"), levelled(problem, labels, "best")
    assert [s.wire for s in worst.servers] == ["none"] * 4
    assert [s.wire for s in best.servers] == ["uniform_8bit"] * 2 + ["none"] * 2
