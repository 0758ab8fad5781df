"""How many sessions a placement is made for, and whose they are."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.errors import HeuristicFailedError, InfeasibleError, SwarmplanWarning
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request, Workload
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.memory import max_sessions
from swarmplan.placement.rules.cg_bp import place_blocks
from swarmplan.placement.sessions import (
    demand_of,
    for_sessions,
    target_sessions,
    task_of,
    unloaded_response_s,
)
from swarmplan.tests.chains.every import every_chain
from swarmplan.tests.placement.offline import uneven

Make = Callable[..., Problem]


def with_rates(problem: Problem, rates: tuple[float, float]) -> Problem:
    classes = tuple(
        dataclasses.replace(c, rate_per_s=rate)
        for c, rate in zip(problem.workload.classes, rates, strict=True)
    )
    return dataclasses.replace(problem, workload=Workload(classes=classes))


@given(
    seed=st.integers(0, 10**6),
    rates=st.tuples(st.floats(0, 50), st.floats(0, 50)),
    even=st.booleans(),
)
def test_r_follows_the_load_of_the_fastest_lone_requests(
    make_problem: Make, seed: int, rates: tuple[float, float], even: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = with_rates(make_problem(rng), rates)
    if not even:
        problem = uneven(problem, rng)
    cost = CostModel.of(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmplanWarning)
        try:
            found = target_sessions(cost)
        except InfeasibleError:
            return
        try:
            alone = place_blocks(cost, 1, capped=False)
        except HeuristicFailedError:
            assert 1 <= found <= max(1, max_sessions(cost))
            return
    total, busy = sum(rates), 0.0
    for client, rate in enumerate(rates):
        shape = cost.shape(client, 10, 9)
        best = min(cost.route_time(r, shape).total_s for r in every_chain(alone, 6))
        lone = best + problem.session_setup_s
        assert unloaded_response_s(cost, alone, client) == pytest.approx(lone, rel=1e-12)
        busy += rate * lone
    wanted = busy + math.sqrt(busy)
    assert 1 <= found <= max(1, max_sessions(cost))
    if total > 0 and found < max_sessions(cost):
        assert found == max(1, math.floor(wanted + 0.5)) or abs(wanted % 1 - 0.5) < 1e-6


def test_where_cg_bp_finds_nothing_the_cheapest_chain_that_could_be_tells_r(
    tiny: Problem,
) -> None:
    # CG-BP counts every block as the heaviest of the runs: one on each of two servers.
    free = dataclasses.replace(tiny.planning, sessions=None)
    heavy = (1_000, 1_000, 1_000, 1_000, 1_000, 4_000)
    servers = tuple(
        dataclasses.replace(s, block_bytes=heavy, memory_bytes=5_000) for s in tiny.servers[:2]
    )
    network = dataclasses.replace(
        tiny.network,
        client_rtt_s=tiny.network.client_rtt_s[:, :2],
        server_rtt_s=tiny.network.server_rtt_s[:2, :2],
    )
    problem = dataclasses.replace(tiny, servers=servers, network=network, planning=free)
    cost = CostModel.of(problem)
    with pytest.raises(HeuristicFailedError):
        place_blocks(cost, 1, capped=False)
    idle, busy = (target_sessions(CostModel.of(with_rates(problem, r))) for r in ((0, 0), (9, 9)))
    assert (idle, busy) == (1, 1)


def test_the_planning_figure_wins(tiny: Problem) -> None:
    assert target_sessions(CostModel.of(tiny)) == 2


@given(
    sessions=st.integers(1, 60),
    rates=st.tuples(st.floats(0.0, 9.0), st.floats(0.01, 9.0)),
)
def test_all_sessions_are_shared_out_within_one_of_the_exact_share(
    tiny: Problem, sessions: int, rates: tuple[float, float]
) -> None:
    demand = demand_of(with_rates(tiny, rates), sessions)
    got = {d.client: d.sessions for d in demand}
    assert sum(got.values()) == sessions
    for client, rate in enumerate(rates):
        assert abs(got.get(client, 0) - sessions * rate / sum(rates)) < 1 + 1e-6


def test_the_planning_figures_give_the_number_of_sessions(tiny: Problem) -> None:
    task = task_of(tiny)
    assert task.sessions == 2
    assert [(d.client, d.sessions, d.cache_tokens) for d in task.demand] == [(0, 1, 22), (1, 1, 22)]
    assert task.cost.cache_bytes(task.demand[0].cache_tokens, 0, 1) == 220


def test_a_missing_number_of_sessions_is_derived_and_a_given_one_wins(tiny: Problem) -> None:
    planning = dataclasses.replace(tiny.planning, sessions=None)
    without = dataclasses.replace(tiny, planning=planning)
    derived = task_of(without)
    assert derived.sessions == target_sessions(CostModel.of(without))
    assert task_of(tiny, sessions=5).sessions == 5
    assert for_sessions(derived, 5).demand == task_of(tiny, sessions=5).demand


def test_an_empty_number_of_sessions_is_refused(tiny: Problem) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        demand_of(tiny, 0)


def test_a_client_without_load_gets_no_session(tiny: Problem) -> None:
    assert [(d.client, d.sessions) for d in demand_of(with_rates(tiny, (0.0, 1.0)), 2)] == [(1, 2)]


def test_no_load_at_all_means_equal_shares(tiny: Problem) -> None:
    unloaded = with_rates(tiny, (0.0, 0.0))
    assert [(d.client, d.sessions) for d in demand_of(unloaded, 6)] == [(0, 3), (1, 3)]


def test_a_trace_is_counted_by_client(tiny: Problem) -> None:
    trace = tuple(
        Request(
            id=i,
            client=int(i == 3),
            arrival_s=2.0 * i,
            prompt_tokens=5,
            output_tokens=5,
            reserved_tokens=10,
        )
        for i in range(4)
    )
    problem = dataclasses.replace(tiny, workload=Workload(trace=trace))
    assert [(d.client, d.sessions) for d in demand_of(problem, 8)] == [(0, 6), (1, 2)]
