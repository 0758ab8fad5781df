"""The search against golden optima, the mixed-integer programme and its own bound."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.core.errors import HeuristicFailedError, InfeasibleError, SwarmplanWarning
from swarmplan.core.names import Relay
from swarmplan.core.objective import STEP, WEIGHTED_STEP
from swarmplan.core.plan import Certificate, Plan
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand
from swarmplan.methods.verify import verify
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.predict import predict
from swarmplan.placement.api import Solution
from swarmplan.placement.milp.solve import solve_milp
from swarmplan.placement.rules.cg_bp import place_blocks
from swarmplan.placement.search.solve import (
    SEARCH_GAP,
    after_compiling,
    placed_by_search,
    solve_search,
)
from swarmplan.placement.sessions import demand_of, task_of
from swarmplan.placement.task import Task
from swarmplan.solve.deadline import Deadline
from swarmplan.solve.progress import Progress
from swarmplan.tests.placement.offline import (
    BYTES,
    best_plan_s,
    forty_blocks,
    golden,
    offline,
    task_for,
    uneven,
)

MakeProblem = Callable[..., Problem]


def asked(problem: Problem, **options: Any) -> Task:
    return task_of(problem, **{"gap": SEARCH_GAP, **options})


def quick(problem: Problem, *, max_steps: int = 200, **options: Any) -> Solution:
    return solve_search(asked(problem, **options), max_steps=max_steps)


def told(problem: Problem, solution: Solution) -> list[str]:
    placement, routes, certificate = solution
    plan = Plan(
        method="search",
        placement=placement,
        routes=routes,
        predicted=predict(CostModel.of(problem), routes),
        certificate=certificate,
        sessions=sum(r.sessions for r in routes),
    )
    return [str(finding) for finding in verify(problem, plan)]


def figures(certificate: Certificate) -> tuple[float, float]:
    reached = certificate.objective
    assert reached.value is not None
    assert reached.bound is not None
    return reached.value, reached.bound


def test_the_golden_cases_agree_with_exhaustive_search(shared_data: Path) -> None:
    seen = set()
    for name, problem, expected in golden(shared_data):
        if expected["status"] != "Optimal":
            continue
        seen.add(name)
        solution = quick(problem, max_steps=1200)
        reached, _ = figures(solution[2])
        assert reached * 20 * 1e3 == pytest.approx(expected["objective_ms"], rel=1e-9), name
        assert told(problem, solution) == []
    assert seen >= {"tiny_02", "tiny_05", "tiny_08", "tiny_19"}


def test_cg_bp_finds_nothing_where_the_search_finds_the_optimum(shared_data: Path) -> None:
    problem = {name: p for name, p, _ in golden(shared_data)}["tiny_19"]
    with pytest.warns(SwarmplanWarning, match="too small"), pytest.raises(HeuristicFailedError):
        place_blocks(CostModel.of(problem), 3)
    reached, _ = figures(quick(problem, max_steps=1200)[2])
    assert reached * 20 * 1e3 == pytest.approx(31931.82, rel=1e-9)


def test_a_client_without_any_chain_is_proven_infeasible(shared_data: Path) -> None:
    problem = {name: p for name, p, _ in golden(shared_data)}["tiny_01"]
    with pytest.raises(InfeasibleError, match="not one session of client 'c0' fits"):
        quick(problem)


def test_a_server_without_room_for_a_block_stays_idle(shared_data: Path) -> None:
    problem = {name: p for name, p, _ in golden(shared_data)}["tiny_17"]
    placement, _, certificate = quick(problem)
    assert placement.num_blocks[0] == 0
    assert figures(certificate)[0] * 20 * 1e3 == pytest.approx(6999.64, rel=1e-9)


def small(seed: int, *, relay: Relay = "client") -> Problem:
    """Three or four servers with different block sizes and caps, two clients."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 5))
    problem = offline(
        blocks=4,
        tau_ms=rng.uniform(1, 15, n).round(3).tolist(),
        memory=rng.uniform(1.5, 6.5, n).round(3).tolist(),
        cache=0.3,
        hop_ms=rng.uniform(5, 200, (2, n)).round(3).tolist(),
        each=2,
        relay=relay,
    )
    servers = tuple(
        dataclasses.replace(
            s,
            block_bytes=int(rng.choice([BYTES, BYTES // 2])),
            max_blocks=int(rng.integers(1, 5)) if rng.random() < 0.5 else None,
        )
        for s in problem.servers
    )
    return dataclasses.replace(problem, servers=servers)


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5, 6, 7, 9])
def test_small_instances_reach_the_optimum_of_the_programme(seed: int) -> None:
    problem = small(seed)
    try:
        *_, exact = solve_milp(task_of(problem, gap=0.0))
    except InfeasibleError:
        with pytest.raises((InfeasibleError, HeuristicFailedError)):
            quick(problem)
        return
    optimum, _ = figures(exact)
    solution = quick(problem, max_steps=600)
    reached, bound = figures(solution[2])
    assert told(problem, solution) == []
    assert bound <= optimum * (1 + 1e-9)
    assert reached == pytest.approx(optimum, rel=1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), relay=st.sampled_from(["client", "server"]))
def test_every_result_is_sound_and_above_its_bound(
    make_problem: MakeProblem, seed: int, relay: str
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=6, clients=3, length=8, relay=relay)
    try:
        solution = quick(problem, sessions=int(rng.integers(1, 30)), max_steps=15)
    except (HeuristicFailedError, InfeasibleError):
        return
    reached, bound = figures(solution[2])
    assert told(problem, solution) == []
    assert 0 < bound <= reached
    assert (solution[2].status == "optimal") == (reached - bound <= 1.01e-6 * reached)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), relay=st.sampled_from(["client", "server"]))
def test_where_blocks_differ_every_result_is_sound_and_above_its_bound(
    make_problem: MakeProblem, seed: int, relay: str
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng, servers=6, clients=3, length=8, relay=relay), rng)
    try:
        solution = quick(problem, sessions=int(rng.integers(1, 12)), max_steps=15)
    except (HeuristicFailedError, InfeasibleError):
        return
    reached, bound = figures(solution[2])
    assert told(problem, solution) == []
    assert 0 < bound <= reached


@pytest.mark.parametrize("seed", range(6))
def test_where_blocks_differ_the_search_is_near_the_best_plan_of_all(
    make_problem: MakeProblem, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng, servers=3, clients=1, length=4), rng)
    best = best_plan_s(problem, demand_of(problem, 2))
    if np.isinf(best):
        with pytest.raises((HeuristicFailedError, InfeasibleError)):
            quick(problem, sessions=2)
        return
    reached, bound = figures(quick(problem, sessions=2)[2])
    assert bound <= best * (1 + 1e-9)
    assert best * (1 - 1e-9) <= reached <= best * 1.1


@pytest.mark.parametrize("seed", [4, 7])
def test_under_server_relay_the_search_comes_near_the_programme(seed: int) -> None:
    problem = small(seed, relay="server")
    *_, exact = solve_milp(task_of(problem, gap=0.0))
    optimum, lowest = figures(exact)
    reached, bound = figures(quick(problem)[2])
    assert bound <= optimum * (1 + 1e-9)
    assert reached >= lowest * (1 - 1e-9)
    assert reached <= optimum * 1.02


def crowded() -> Problem:
    return forty_blocks(12, 3)


def test_a_run_that_ends_by_steps_repeats_exactly() -> None:
    first, again = quick(crowded(), seed=5), quick(crowded(), seed=5)
    assert first == again
    assert first != quick(crowded(), seed=6, max_steps=1)


def test_more_steps_never_give_a_worse_plan() -> None:
    reached = [figures(quick(crowded(), max_steps=n)[2])[0] for n in (0, 20, 200)]
    assert reached == sorted(reached, reverse=True)
    assert reached[0] > reached[-1]


def test_a_plan_to_begin_with_is_never_lost() -> None:
    problem = crowded()
    placement, routes, certificate = quick(problem, max_steps=400)
    *_, again = solve_search(
        asked(problem, seed=9), max_steps=0, warm_start=placement, warm_routes=routes
    )
    assert figures(again)[0] <= figures(certificate)[0] * (1 + 1e-9)


def test_a_placement_to_begin_with_is_one_of_the_first_plans() -> None:
    problem = small(3)
    optimum, _, certificate = quick(problem, max_steps=600)
    *_, again = solve_search(asked(problem), max_steps=0, warm_start=optimum)
    assert figures(again)[0] == pytest.approx(figures(certificate)[0], rel=1e-9)


def test_progress_tells_falling_objectives_above_the_bound() -> None:
    seen: list[Progress] = []
    *_, certificate = quick(crowded(), on_progress=seen.append)
    reached = [p.objective.value for p in seen if p.objective.value is not None]
    assert reached == sorted(reached, reverse=True)
    assert reached[-1] == certificate.objective.value
    assert all(p.objective.bound == certificate.objective.bound for p in seen)


def test_the_search_stops_at_once_when_the_plan_meets_the_bound() -> None:
    problem = offline(
        blocks=4, tau_ms=[1.0, 2.0], memory=[9.0, 9.0], cache=0.1, hop_ms=[[5.0, 50.0]], each=2
    )
    *_, certificate = quick(problem, max_steps=10**9)
    assert certificate.status == "optimal"
    assert figures(certificate)[0] == pytest.approx(2 * (5.0 + 4 * 1.0) / 1e3)


def test_weights_count_the_tokens_of_each_client() -> None:
    problem = crowded()
    tokens = problem.planning.session_tokens
    heavy, light = (
        solve_search(
            task_for(
                problem,
                [
                    Demand(client=c, sessions=2, weight_tokens=weight, cache_tokens=tokens)
                    for c in range(3)
                ],
                gap=SEARCH_GAP,
            ),
            max_steps=200,
        )[2]
        for weight in (20.0, 1.0)
    )
    assert figures(heavy)[0] == pytest.approx(20 * figures(light)[0], rel=1e-9)
    assert (heavy.objective.goal, light.objective.goal) == (WEIGHTED_STEP, STEP)


def test_sessions_without_room_are_a_failure_that_proves_nothing() -> None:
    problem = offline(
        blocks=4, tau_ms=[1.0, 1.0], memory=[5.0, 5.0], cache=0.5, hop_ms=[[1.0, 1.0]], each=9
    )
    with pytest.raises(HeuristicFailedError, match=r"\d of 9 sessions found no chain"):
        quick(problem)


def test_a_search_without_any_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="a deadline or max_steps"):
        solve_search(asked(crowded()))


def test_a_deadline_alone_ends_the_search() -> None:
    task = asked(crowded(), deadline=Deadline.after(0.0))
    reached, bound = figures(solve_search(task)[2])
    assert 0 < bound < reached


def test_every_session_of_the_demand_gets_a_route() -> None:
    problem = crowded()
    _, routes, _ = quick(problem)
    for d in demand_of(problem, problem.planning.sessions or 0):
        assert sum(r.sessions for r in routes if r.client == d.client) == d.sessions


INTERRUPTED = """
import os, signal
from swarmplan.placement.search.solve import solve_search
from swarmplan.solve.deadline import Deadline
from swarmplan.tests.placement.search.test_solve import asked, crowded

sent = []

def stop(progress):
    if progress.objective.value is not None and not sent:
        sent.append(progress)
        os.kill(os.getpid(), signal.SIGINT)

_, _, certificate = solve_search(
    asked(crowded(), deadline=Deadline.after(60), on_progress=stop)
)
print(certificate.status, certificate.interrupted)
"""


def test_ctrl_c_keeps_the_best_plan() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "feasible True", done.stderr


def test_a_search_that_is_a_part_hands_on_what_stops_it(tiny: Problem) -> None:
    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    task = dataclasses.replace(task_of(tiny), on_progress=stop)
    assert solve_search(task, max_steps=50)[2].interrupted
    with pytest.raises(KeyboardInterrupt):
        placed_by_search(task, max_steps=50)


def test_compiling_is_not_of_the_limit(tiny: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    task = asked(tiny, deadline=Deadline.after(5.0))
    assert after_compiling(task).deadline == task.deadline  # nothing is left to compile by now
    monkeypatch.setattr("swarmplan.placement.search.solve.COMPILED_S", -1.0)
    assert after_compiling(task).deadline.at_s > task.deadline.at_s
