"""The paper's mixed-integer programme against exhaustive search, with two solvers."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmplan.chains.soundness import unsound
from swarmplan.core.errors import (
    InfeasibleError,
    NoSolutionInTimeError,
    SolverUnavailableError,
    SwarmplanError,
)
from swarmplan.core.objective import WEIGHTED_STEP
from swarmplan.core.plan import Certificate, Placement, PlannedRoute
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.api import Solution
from swarmplan.placement.milp.formulation import Form
from swarmplan.placement.milp.generic import solver_name
from swarmplan.placement.milp.solve import solve_milp
from swarmplan.placement.sessions import task_of
from swarmplan.solve.deadline import Deadline
from swarmplan.solve.progress import Progress
from swarmplan.tests.placement.offline import (
    BYTES,
    best_plan_s,
    forty_blocks,
    golden,
    offline,
    task_for,
)


def have_cbc() -> bool:
    try:
        solver_name("cbc")
    except SolverUnavailableError:
        return False  # PuLP 4 bundles none
    return True


needs_cbc = pytest.mark.skipif(not have_cbc(), reason="no CBC is installed")


# docs: instances of the offline problem with optima found by exhaustive search (ms, 20 tokens).
C: dict[str, tuple[dict[str, Any], float]] = {
    "C1": (dict(blocks=4, cache=0.2, each=2, tau_ms=[8.104, 2.363], memory=[4.199, 3.741],
                hop_ms=[[109.074, 91.067]]), 8843.0),
    "C2": (dict(blocks=4, cache=0.2, each=2, tau_ms=[9.711, 11.914, 6.073],
                memory=[4.043, 5.572, 5.585], hop_ms=[[50.117, 66.449, 35.293]]), 3458.5),
    "C3": (dict(blocks=5, cache=0.2, each=2, tau_ms=[14.228, 15.56, 14.169, 9.432],
                memory=[2.931, 2.046, 3.722, 3.609],
                hop_ms=[[129.535, 120.678, 136.071, 133.677]]), 13130.66),
    "C4": (dict(blocks=6, cache=0.2, each=2, tau_ms=[2.145, 9.026, 8.941, 3.874],
                memory=[2.568, 2.874, 3.674, 2.992],
                hop_ms=[[41.812, 94.1, 58.355, 200.712]]), 12626.8),
    "C5": (dict(blocks=4, cache=0.2, each=1, tau_ms=[4.524, 2.273, 8.485],
                memory=[4.9, 3.681, 3.942],
                hop_ms=[[27.556, 122.474, 213.361], [195.159, 170.993, 46.747]]), 5573.92),
    "C6": (dict(blocks=4, cache=0.5, each=3, tau_ms=[14.745, 7.357, 12.685, 15.255],
                memory=[4.329, 2.27, 3.327, 3.532],
                hop_ms=[[142.572, 168.162, 87.895, 205.676]]), 31931.82),
    "C7": (dict(blocks=3, cache=0.5, each=4, tau_ms=[5.482, 3.464, 6.06, 9.881],
                memory=[2.561, 3.103, 2.149, 4.265],
                hop_ms=[[27.978, 80.855, 181.912, 188.012]]), 23913.76),
    "C8": (dict(blocks=4, cache=0.2, each=2, tau_ms=[6.125, 9.428, 4.681], memory=[0.9, 9, 9],
                hop_ms=[[38.58, 182.397, 156.267]]), 6999.64),
}  # fmt: skip


def instance(name: str) -> Problem:
    return offline(**C[name][0])


def proven(problem: Problem, **how: Any) -> Solution:
    """The programme's plan without any gap."""
    return solve_milp(task_of(problem, gap=0.0), **how)


def reached_s(certificate: Certificate) -> float:
    assert certificate.objective.value is not None
    return certificate.objective.value


def total_ms(problem: Problem, certificate: Certificate) -> float:
    return reached_s(certificate) * problem.planning.output_tokens * 1e3


def check(problem: Problem, placement: Placement, routes: tuple[PlannedRoute, ...]) -> None:
    task = task_of(problem)
    assert not unsound(task.cost, placement, routes, task.demand)


@pytest.mark.parametrize("name", sorted(C))
def test_highs_finds_the_known_optimum(name: str) -> None:
    problem = instance(name)
    placement, routes, certificate = proven(problem)
    assert total_ms(problem, certificate) == pytest.approx(C[name][1], rel=1e-9)
    assert certificate.status == "optimal"
    assert certificate.objective.bound == pytest.approx(reached_s(certificate), rel=1e-6)
    check(problem, placement, routes)


@needs_cbc
@pytest.mark.parametrize("name", ["C1", "C2", "C5", "C8"])
def test_cbc_finds_the_known_optimum(name: str) -> None:
    problem = instance(name)
    placement, routes, certificate = proven(problem, solver="cbc")
    assert total_ms(problem, certificate) == pytest.approx(C[name][1], rel=1e-9)
    assert certificate.status == "optimal"
    check(problem, placement, routes)


@pytest.mark.parametrize(
    ("name", "solver"),
    [("C1", "highs"), ("C2", "highs"), pytest.param("C1", "cbc", marks=needs_cbc)],
)
def test_the_published_form_has_the_same_optimum(name: str, solver: str) -> None:
    problem = instance(name)
    _, _, certificate = proven(problem, solver=solver, form="paper")
    assert total_ms(problem, certificate) == pytest.approx(C[name][1], rel=1e-9)
    assert certificate.status == "optimal"


def test_the_golden_cases_agree_with_exhaustive_search(shared_data: Path) -> None:
    seen = 0
    for name, problem, expected in golden(shared_data):
        seen += 1
        for solver in ("highs", "cbc") if problem.num_servers < 4 and have_cbc() else ("highs",):
            if expected["status"] == "Optimal":
                *_, certificate = proven(problem, solver=solver, min_blocks=1)
                reached = total_ms(problem, certificate)
                assert reached == pytest.approx(expected["objective_ms"], rel=1e-9), name
                assert certificate.status == "optimal"
            else:
                with pytest.raises(InfeasibleError, match="infeasible"):
                    solve_milp(task_of(problem), solver=solver, min_blocks=1)
    assert seen >= 6


def test_a_server_too_small_for_a_block_only_harms_the_published_rule() -> None:
    with pytest.raises(InfeasibleError):
        solve_milp(task_of(instance("C8")), min_blocks=1)
    placement, _, _ = solve_milp(task_of(instance("C8")))
    assert placement.num_blocks[0] == 0


@pytest.mark.parametrize("seed", range(6))
def test_random_instances_with_two_clients_agree_with_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = offline(
        blocks=3,
        tau_ms=rng.uniform(1, 15, 3).round(3).tolist(),
        memory=rng.uniform(1.2, 4.5, 3).round(3).tolist(),
        cache=0.25,
        hop_ms=rng.uniform(5, 200, (2, 3)).round(3).tolist(),
        each=1,
    )
    expected = best_plan_s(problem, task_of(problem).demand)
    if np.isinf(expected):
        with pytest.raises(InfeasibleError):
            solve_milp(task_of(problem))
        return
    forms: tuple[Form, ...] = ("compact", "paper")
    for form in forms:
        *_, certificate = proven(problem, form=form)
        assert reached_s(certificate) == pytest.approx(expected, rel=1e-9)


def test_a_warm_start_is_accepted_and_never_lost() -> None:
    problem = instance("C3")
    # The plan of the greedy heuristic: 38 % above the optimum.
    start = CostModel.of(problem).placed([(2, 4), (2, 3), (3, 5), (0, 2)])
    seen: list[Progress] = []
    early = task_of(problem, gap=0.9, on_progress=seen.append)
    *_, certificate = solve_milp(early, warm_start=start)
    assert total_ms(problem, certificate) <= 18127.52 * (1 + 1e-9)
    task = task_of(problem, gap=0.0, on_progress=seen.append)
    *_, best = solve_milp(task, warm_start=start)
    assert total_ms(problem, best) == pytest.approx(13130.66, rel=1e-9)
    assert seen
    assert all(p.objective.gap is None or p.objective.gap >= 0 for p in seen)


def test_a_warm_start_without_room_for_the_sessions_is_dropped() -> None:
    problem = instance("C1")
    start = CostModel.of(problem).placed([(0, 4), (1, 4)])
    *_, certificate = proven(problem, warm_start=start)
    assert total_ms(problem, certificate) == pytest.approx(8843.0, rel=1e-9)


def large() -> Problem:
    return forty_blocks(9, 1)


def chained(problem: Problem) -> Placement:
    """Disjoint chains, every server with the blocks that leave room for all sessions."""
    sessions, length = problem.planning.sessions or 1, problem.model.num_blocks
    spans, reached = [], 0
    for memory in problem.memory_bytes.tolist():
        blocks = min(memory // (BYTES + sessions * 100_000), length)
        first = min(reached, length - blocks)
        spans.append((first, first + blocks))
        reached = min(reached + blocks, length) % length
    return CostModel.of(problem).placed(spans)


def test_a_plan_found_within_the_limit_is_never_called_optimal() -> None:
    problem = large()
    start = chained(problem)
    task = task_of(problem, deadline=Deadline.after(0.5))
    placement, routes, certificate = solve_milp(task, warm_start=start)
    bound = certificate.objective.bound
    assert certificate.status == "feasible"
    assert bound is None or bound < reached_s(certificate)
    check(problem, placement, routes)


@pytest.mark.parametrize("solver", ["highs", pytest.param("cbc", marks=needs_cbc)])
def test_no_plan_within_the_limit_is_an_error_of_its_own(solver: str) -> None:
    with pytest.raises(NoSolutionInTimeError, match="no plan within"):
        solve_milp(task_of(large(), deadline=Deadline.after(0.01)), solver=solver, form="paper")


def test_an_unknown_or_absent_solver_is_named_with_what_to_do() -> None:
    with pytest.raises(SolverUnavailableError, match=r"installed here: .*HiGHS"):
        solve_milp(task_of(instance("C1")), solver="nonesuch")
    with pytest.raises(SolverUnavailableError, match=r"licence|install"):
        solve_milp(task_of(instance("C1")), solver="MOSEK")


def test_aggregated_sessions_share_one_route_and_carry_no_bound() -> None:
    problem = instance("C2")
    placement, routes, certificate = proven(problem, aggregate=True)
    assert len(routes) == 1
    assert routes[0].sessions == 2
    assert certificate.objective.bound is None
    assert certificate.status == "feasible"
    assert total_ms(problem, certificate) >= 3458.5
    check(problem, placement, routes)


def test_weights_count_the_tokens_of_each_client() -> None:
    problem = instance("C5")
    demand = [Demand(client=c, sessions=1, weight_tokens=20.0, cache_tokens=1) for c in range(2)]
    *_, certificate = solve_milp(task_for(problem, demand, gap=0.0))
    assert reached_s(certificate) == pytest.approx(5.57392, rel=1e-9)
    assert certificate.objective.goal == WEIGHTED_STEP


def test_under_server_relay_the_bound_still_holds() -> None:
    base = instance("C4")
    network = dataclasses.replace(base.network, relay="server")
    problem = dataclasses.replace(base, network=network)
    placement, routes, certificate = proven(problem)
    check(problem, placement, routes)
    cost = CostModel.of(problem)
    assert reached_s(certificate) == pytest.approx(
        sum(p.sessions * cost.step_s(p.route, cost.shape(0, 20, 20)) for p in routes)
    )
    assert certificate.objective.bound is not None
    assert certificate.objective.bound <= reached_s(certificate) * (1 + 1e-12)


def test_blocks_that_differ_are_refused_with_the_methods_that_know_them() -> None:
    base = instance("C1")
    sizes = (1_000_000, 900_000, 1_000_000, 800_000)
    servers = tuple(dataclasses.replace(s, block_bytes=sizes) for s in base.servers)
    with pytest.raises(SwarmplanError, match="equal blocks only; use method exact or search"):
        proven(dataclasses.replace(base, servers=servers))


INTERRUPTED = """
import os, signal
from swarmplan.placement.milp.solve import solve_milp
from swarmplan.placement.sessions import task_of
from swarmplan.tests.placement.milp.test_solve import chained, large

problem = large()
sent = []

def stop(progress):
    if not sent:
        sent.append(progress)
        os.kill(os.getpid(), signal.SIGINT)

task = task_of(problem, on_progress=stop)
_, _, certificate = solve_milp(task, warm_start=chained(problem))
print(certificate.status, certificate.interrupted, certificate.proof)
"""


def test_ctrl_c_keeps_the_best_plan() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "feasible True milp compact (HiGHS)", done.stderr
