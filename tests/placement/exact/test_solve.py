"""The exact method against exhaustive search and the mixed-integer programme."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmplan.benchmarks.instances import geographic, reference
from swarmplan.chains.floor import cheapest_chains_s
from swarmplan.chains.soundness import unsound
from swarmplan.core.errors import (
    InfeasibleError,
    NoSolutionInTimeError,
    SolverError,
    SwarmplanWarning,
)
from swarmplan.core.plan import Certificate, PlannedRoute
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.api import Solution
from swarmplan.placement.exact.bag import Bag
from swarmplan.placement.exact.branch import Tree
from swarmplan.placement.exact.incumbent import Incumbent
from swarmplan.placement.exact.instance import data_of
from swarmplan.placement.exact.master import Master
from swarmplan.placement.exact.pricing import Chains, Price, prefix_tables, through_costs
from swarmplan.placement.exact.solve import solve_exact
from swarmplan.placement.milp.solve import solve_milp
from swarmplan.placement.search.solve import solve_search
from swarmplan.placement.sessions import demand_of, task_of
from swarmplan.solve.deadline import Deadline
from swarmplan.solve.lp import Lp
from swarmplan.solve.progress import Progress
from swarmplan.tests.placement.offline import (
    best_plan_s,
    golden,
    lopsided,
    offline,
    task_for,
    uneven,
)


def drawn(seed: int, *, servers: int = 4, blocks: int = 5) -> tuple[Problem, tuple[Demand, ...]]:
    """A random tiny instance: clients, memory, block and cache sizes, weights all differ."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, servers + 1))
    clients = int(rng.integers(1, 4))
    problem = offline(
        blocks=int(rng.integers(2, blocks + 1)),
        tau_ms=rng.uniform(1, 15, n).round(3).tolist(),
        memory=rng.uniform(1.5, 7, n).round(3).tolist(),
        cache=float(rng.choice([0.1, 0.3, 0.5])),
        hop_ms=rng.uniform(5, 200, (clients, n)).round(3).tolist(),
        block=rng.choice([0.5, 1.0, 1.2], n).tolist(),
        caps=[None if rng.random() < 0.8 else int(rng.integers(1, 4)) for _ in range(n)],
    )
    demand = tuple(
        Demand(
            client=c,
            sessions=int(rng.integers(1, 4)),
            weight_tokens=float(rng.choice([1.0, 2.5])),
            cache_tokens=int(rng.integers(1, 3)),
        )
        for c in range(clients)
    )
    return problem, demand


def solve(problem: Problem, demand: Sequence[Demand], **asked: Any) -> Solution:
    options = {"gap": 1e-5, "deadline": Deadline.after(60.0), **asked}
    return solve_exact(task_for(problem, demand, **options))


def figures(proof: Certificate) -> tuple[float, float]:
    reached = proof.objective
    assert reached.value is not None
    assert reached.bound is not None
    return reached.value, reached.bound


@pytest.mark.parametrize("seed", range(25))
def test_tiny_instances_are_solved_to_the_optimum_of_exhaustive_search(seed: int) -> None:
    problem, demand = drawn(seed, servers=3, blocks=4)
    best = best_plan_s(problem, demand)
    if not np.isfinite(best):
        with pytest.raises(InfeasibleError):
            solve(problem, demand)
        return
    placement, routes, proof = solve(problem, demand)
    reached, bound = figures(proof)
    assert reached == pytest.approx(best, rel=1e-9)
    assert bound <= best * (1 + 1e-12)
    assert proof.status == "optimal"
    assert not unsound(CostModel.of(problem), placement, routes, demand)


@pytest.mark.parametrize("seed", range(400, 412))
def test_where_some_blocks_weigh_little_plans_are_sound_and_bounds_hold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    even, demand = drawn(seed, servers=3, blocks=4)
    problem = lopsided(even, rng)
    best = best_plan_s(problem, demand)
    if not np.isfinite(best):
        with pytest.raises((InfeasibleError, NoSolutionInTimeError)):
            solve(problem, demand)
        return
    placement, routes, proof = solve(problem, demand)
    reached, bound = figures(proof)
    assert bound <= best * (1 + 1e-12)
    assert reached >= best * (1 - 1e-12)
    assert not unsound(CostModel.of(problem), placement, routes, demand)


@pytest.mark.parametrize("seed", [100, 102, 106, 109, 111, 114, 116, 119, 121, 123])
def test_small_instances_agree_with_the_mixed_integer_programme(seed: int) -> None:
    problem, demand = drawn(seed)
    try:
        _, _, other = solve_milp(task_for(problem, demand, gap=0.0))
    except InfeasibleError:
        with pytest.raises(InfeasibleError):
            solve(problem, demand)
        return
    placement, routes, proof = solve(problem, demand)
    assert figures(proof)[0] == pytest.approx(figures(other)[0], rel=2e-5)
    assert not unsound(CostModel.of(problem), placement, routes, demand)


@pytest.mark.parametrize("rounds", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("seed", range(200, 215))
def test_the_bound_is_below_the_optimum_at_every_instant(seed: int, rounds: int) -> None:
    problem, demand = drawn(seed, servers=3, blocks=4)
    best = best_plan_s(problem, demand)
    bounds = stopped_after(problem, demand, rounds)
    assert all(b <= best * (1 + 1e-12) for b in bounds)


@pytest.mark.parametrize("rounds", [1, 3, 6])
@pytest.mark.parametrize("seed", [300, 302, 342, 382])
def test_where_blocks_differ_the_bound_is_below_the_optimum_at_every_instant(
    seed: int, rounds: int
) -> None:
    problem, demand = drawn(seed, servers=3, blocks=4)
    problem = uneven(problem, np.random.default_rng(seed))
    best = best_plan_s(problem, demand)
    bounds = stopped_after(problem, demand, rounds)
    assert all(b <= best * (1 + 1e-12) for b in bounds)


def stopped_after(problem: Problem, demand: tuple[Demand, ...], rounds: int) -> list[float]:
    """All bounds that the bag and its tree tell within some pricing rounds."""
    alone = cheapest_chains_s(CostModel.of(problem), demand)
    if not np.isfinite(alone).all():
        return []
    data = data_of(task_for(problem, demand), float(alone.sum()) / 1000)
    bounds: list[float] = []
    bag = Bag(
        data=data,
        master=Master(data, np.full(len(demand), 1e4)),
        target=lambda: np.inf,
        deadline_s=np.inf,
        most_iterations=rounds,
        on_bound=lambda b: bounds.append(b * data.unit_s),
    )
    found, converged = bag.solve()
    if converged:
        tree = Tree(bag=bag, bound=found)
        tree.plant()
        bag.most_iterations = 2 * rounds
        tree.grow()
        bounds.append(tree.bound * data.unit_s)
    return bounds


def demanded(problem: Problem) -> tuple[Demand, ...]:
    """The sessions of a golden case."""
    return task_of(problem).demand


def test_golden_cases_are_solved_also_where_cg_bp_finds_nothing(shared_data: Path) -> None:
    seen = set()
    for name, problem, expected in golden(shared_data):
        if expected["status"] != "Optimal":
            continue
        seen.add(name)
        _, _, proof = solve(problem, demanded(problem))
        reached, _ = figures(proof)
        assert reached * 20 * 1e3 == pytest.approx(expected["objective_ms"], rel=1e-9), name
        assert proof.status == "optimal", name
    assert seen >= {"tiny_02", "tiny_05", "tiny_08", "tiny_19"}


def test_the_golden_case_without_a_plan_is_proven_infeasible(shared_data: Path) -> None:
    problem = {name: problem for name, problem, _ in golden(shared_data)}["tiny_01"]
    with pytest.raises(InfeasibleError, match="not one session of client 'c0' fits"):
        solve(problem, demanded(problem))


def relayed(seed: int) -> tuple[Problem, tuple[Demand, ...]]:
    """A random tiny instance whose servers hand steps on, at distances of their own."""
    problem, demand = drawn(seed, servers=3, blocks=4)
    n, rng = problem.num_servers, np.random.default_rng(seed)
    between = np.triu(rng.uniform(0.001, 0.2, (n, n)).round(4), 1)
    network = dataclasses.replace(problem.network, relay="server", server_rtt_s=between + between.T)
    return dataclasses.replace(problem, network=network), demand


@pytest.mark.parametrize("seed", [*range(600, 616)])
def test_under_server_relay_the_optimum_of_exhaustive_search_is_reached_and_proven(
    seed: int,
) -> None:
    problem, demand = relayed(seed)
    best = best_plan_s(problem, demand)
    if not np.isfinite(best):
        with pytest.raises(InfeasibleError):
            solve(problem, demand)
        return
    placement, routes, proof = solve(problem, demand, deadline=Deadline.after(2.0))
    reached, bound = figures(proof)
    assert not unsound(CostModel.of(problem), placement, routes, demand)
    assert bound <= best * (1 + 1e-9)
    assert reached == pytest.approx(best, rel=1e-9)
    # A server in the middle that answers after the last one is not in the bound.
    latest = all(
        CostModel.of(problem).step_s(r.route, CostModel.of(problem).planned(r.client))
        <= way_s(problem, r) * (1 + 1e-9)
        for r in routes
    )
    assert proof.status == "optimal" or not latest


def way_s(problem: Problem, planned: PlannedRoute) -> float:
    """Step time of a session if only its last server answered."""
    cost = CostModel.of(problem)
    paid, hops = cost.planned(planned.client), planned.route.hops
    back = cost.relaying.back_s(paid)
    assert back is not None
    total, before = float(back[hops[-1].server]), -1
    for h in hops:
        total += cost.relaying.into_s(paid, before)[h.server]
        total += paid.step_run_s(h.server, h.start, h.end)
        before = h.server
    return float(total)


@pytest.mark.parametrize("seed", [2, 6, 11, 18])
def test_with_too_many_servers_for_their_ways_relay_is_bounded_by_the_cheapest_legs(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmplan.placement.exact.instance.MOST_SERVERS", 0)
    problem, demand = relayed(seed)
    _, _, proof = solve(problem, demand, deadline=Deadline.after(0.5))
    _, _, other = solve_milp(task_for(problem, demand, gap=0.0))
    assert figures(proof)[1] <= figures(other)[0] * (1 + 1e-6)
    assert "cheapest legs" in proof.proof


@pytest.mark.parametrize("seed", range(8))
def test_where_blocks_differ_the_plan_is_sound_and_the_bound_below_the_best_of_all(
    make_problem: Callable[..., Problem], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng, servers=3, clients=2, length=4), rng)
    demand = demand_of(problem, 3)
    best = best_plan_s(problem, demand)
    try:
        placement, routes, proof = solve(problem, demand, deadline=Deadline.after(0.5))
    except InfeasibleError:
        assert np.isinf(best)
        return
    reached, bound = figures(proof)
    assert bound <= best * (1 + 1e-9)
    assert best * (1 - 1e-9) <= reached
    assert not unsound(CostModel.of(problem), placement, routes, demand)


def test_memory_that_cannot_hold_all_sessions_is_proven_infeasible_with_the_reason() -> None:
    problem = offline(
        blocks=4, tau_ms=[1.0, 2.0], memory=[4.0, 4.0], cache=0.5, hop_ms=[[10.0, 20.0]]
    )
    with pytest.raises(InfeasibleError, match=r"all 9 sessions .* plan for fewer or shorter"):
        solve(problem, demand_of(problem, 9))


def test_progress_tells_bounds_that_never_fall() -> None:
    problem, demand = drawn(16, servers=3, blocks=4)
    told: list[Progress] = []
    _, _, proof = solve(problem, demand, on_progress=told.append)
    bounds = [p.objective.bound for p in told if p.objective.bound is not None]
    assert bounds == sorted(bounds)
    assert bounds[-1] == proof.objective.bound


def test_through_costs_are_those_of_chains_that_must_make_the_visit() -> None:
    problem, demand = drawn(6, servers=3, blocks=4)
    data = data_of(task_for(problem, demand), 1e-3)
    rng = np.random.default_rng(0)
    prices = []
    for j in np.flatnonzero(data.top).tolist():
        run = np.arange(1, int(data.top[j]) + 1)
        extra = rng.uniform(0, 50, (len(demand), len(run)))
        prices.append(Price(j, np.where(run <= data.most[:, j, None], extra, np.inf)))
    start = prefix_tables(data, np.zeros(0, dtype=np.int64))
    free = Chains(data, prices, start).cost
    for i, (price, through) in enumerate(zip(prices, through_costs(data, prices), strict=True)):
        assert (through.min(axis=1) >= free - 1e-9).all()
        for k in range(1, through.shape[1] + 1):
            only = np.full_like(price.extra, np.inf)
            only[:, k - 1] = price.extra[:, k - 1] - 1e6
            forced = [*prices[:i], Price(price.server, only), *prices[i + 1 :]]
            cost = Chains(data, forced, start).cost + 1e6
            reached = np.isfinite(through[:, k - 1])
            assert cost[reached] == pytest.approx(through[reached, k - 1], abs=1e-6)


@pytest.mark.parametrize("limit_s", [0.0, 1.0])
def test_no_plan_is_dearer_than_the_one_it_begins_with(limit_s: float) -> None:
    task = task_of(geographic(15, 3, 20, 4, "H").problem, deadline=Deadline.after(20.0))
    begun = solve_search(replace(task, gap=1e-6), max_steps=150)
    _, _, proof = solve_exact(
        replace(task, deadline=Deadline.after(limit_s)),
        warm_start=begun.placement,
        warm_routes=begun.routes,
    )
    known = begun.certificate.objective.value
    assert known is not None
    assert figures(proof)[0] <= known * (1 + 1e-12)
    assert figures(proof)[1] <= figures(proof)[0]


def test_ctrl_c_in_a_restart_ends_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Incumbent, "guided", lambda *_, **__: True)
    monkeypatch.setattr(Tree, "plant", lambda _: pytest.fail("it goes on"))
    task = task_of(reference(0, 3, 12).problem, deadline=Deadline.after(10.0), gap=1e-6)
    placement, routes, proof = solve_exact(task)
    assert proof.interrupted
    assert not unsound(task.cost, placement, routes, task.demand)
    assert proof.objective.bound is not None


def test_a_solver_that_fails_loses_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(reference(0, 3, 12).problem, deadline=Deadline.after(10.0), gap=1e-6)
    whole, left = Lp.solve, [3]

    def failing(self: Lp, deadline: Deadline) -> Any:
        if not left[0]:
            raise SolverError("lost in rounding")
        left[0] -= 1
        return whole(self, deadline)

    monkeypatch.setattr(Lp, "solve", failing)
    with pytest.warns(SwarmplanWarning, match="lost in rounding: the plan and the bound are"):
        placement, routes, proof = solve_exact(task)
    assert not unsound(task.cost, placement, routes, task.demand)
    assert proof.objective.bound is not None
    monkeypatch.setattr(Incumbent, "search", lambda *_, **__: False)
    with pytest.raises(SolverError):
        solve_exact(task)
