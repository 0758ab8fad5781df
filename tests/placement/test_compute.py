"""Slots for compute: by hand, in every method that keeps them, and what they are worth."""

from dataclasses import replace

import numpy as np
import pytest

from swarmplan.chains.capacity import most_planned_per_s
from swarmplan.chains.compose import gca
from swarmplan.core.plan import PlannedRoute
from swarmplan.core.problem import Problem
from swarmplan.methods.draft import Settings
from swarmplan.methods.planning import planned
from swarmplan.methods.table import method_named
from swarmplan.perfmodel.cost import NO_LIMIT, CostModel
from swarmplan.perfmodel.memory import blocks_that_fit, slots_beside
from swarmplan.placement.compute import busy_frac, for_load, in_words
from swarmplan.placement.exact.solve import solve_exact
from swarmplan.placement.search.solve import solve_search
from swarmplan.placement.sessions import task_of
from swarmplan.workload.load import at_load


@pytest.fixture
def roomy(tiny: Problem) -> Problem:
    """Memory for many sessions, so that compute decides; R is derived."""
    return replace(
        tiny,
        servers=tuple(replace(s, memory_bytes=60_000) for s in tiny.servers),
        planning=replace(tiny.planning, sessions=None),
    )


def busiest(cost: CostModel, routes: tuple[PlannedRoute, ...], lasting_s: float) -> float:
    """The most that a server computes of every second, by hand."""
    used = np.zeros(cost.problem.num_servers)
    for r in routes:
        for h in r.route.hops:
            work = cost.work_s(11, 11)(h.server, h.start, h.end)
            used[h.server] += r.sessions * float(work) / lasting_s
    return float(used.max())


def test_a_server_has_slots_for_as_many_blocks_as_it_computes_in_a_session(roomy: Problem) -> None:
    cost = CostModel.of(roomy)
    work = np.array([cost.work_s(11, 11)(j, 0, 1) for j in range(4)])
    capped = cost.lasting(2.0)
    slots = (2.0 / work + 1e-9).astype(int)
    assert (capped.most_cache_bytes == slots * 220).all()
    assert (slots_beside(capped, 220)[:, 1] == np.minimum(slots, 59_000 // 220)).all()
    assert (blocks_that_fit(capped, 5) == np.minimum(slots // 5, 6)).all()
    assert (cost.most_cache_bytes == NO_LIMIT).all()
    parallel = tuple(replace(s, sharing="independent") for s in roomy.servers)
    free = CostModel.of(replace(roomy, servers=parallel)).lasting(2.0)
    assert (free.most_cache_bytes == NO_LIMIT).all()


def test_sessions_are_those_of_the_time_that_requests_take_under_the_load(roomy: Problem) -> None:
    cost = CostModel.of(roomy)
    half = at_load(roomy, 0.5 * most_planned_per_s(cost) / roomy.workload.rate_per_s)
    before = task_of(half)
    task = for_load(before)
    assert busy_frac(task.cost) == pytest.approx(0.5)
    assert task.sessions > before.sessions
    # Half of what the load leaves free is planned for.
    assert 0.75 * task.sessions == pytest.approx(half.workload.rate_per_s * task.cost.lasting_s)
    assert sum(d.sessions for d in task.demand) == task.sessions
    # R that is given stays, and lasts for as long as Little says at least.
    given = for_load(before, sessions=100)
    assert given.sessions == 100
    assert given.cost.lasting_s >= 0.75 * 100 / half.workload.rate_per_s * (1 - 1e-9)


def test_fewer_sessions_are_planned_for_where_as_many_do_not_fit(roomy: Problem) -> None:
    most = most_planned_per_s(CostModel.of(roomy))
    busy = at_load(roomy, 0.85 * most / roomy.workload.rate_per_s)
    small = replace(busy, servers=tuple(replace(s, memory_bytes=9_000) for s in busy.servers))
    before, task = task_of(small), for_load(task_of(small))
    assert before.sessions <= task.sessions < for_load(task_of(busy)).sessions
    solve_search(task, max_steps=50)


def test_where_nobody_stands_in_line_tasks_stay_as_they_are(roomy: Problem) -> None:
    parallel = tuple(replace(s, sharing="independent") for s in roomy.servers)
    task = task_of(replace(roomy, servers=parallel))
    assert for_load(task) is task
    assert in_words(task.cost) == ""


@pytest.mark.parametrize("method", ["search", "exact"])
def test_planned_sessions_leave_servers_time(roomy: Problem, method: str) -> None:
    cost = CostModel.of(roomy)
    busy = at_load(roomy, 0.8 * most_planned_per_s(cost) / roomy.workload.rate_per_s)
    settings = Settings(time_limit_s=2)
    plan = planned(busy, method_named(method), settings)
    lasting_s = plan.sessions / busy.workload.rate_per_s
    assert busiest(cost, plan.routes, lasting_s) <= 1.0
    alone = solve_search(task_of(busy, sessions=plan.sessions), max_steps=100)
    assert busiest(cost, alone.routes, lasting_s) > 1.0  # memory alone overloads the fastest
    assert plan.certificate.proof.startswith("with compute slots of ")


def test_the_exact_method_is_exact_with_slots(roomy: Problem) -> None:
    """Any tightening can only cost, and what both prove is above what memory alone allows."""
    values = []
    for lasting_s in (np.inf, 0.4, 0.27):
        task = task_of(roomy, sessions=2, gap=1e-6)
        task = replace(task, cost=task.cost.lasting(lasting_s))
        _, routes, proof = solve_exact(task, max_iterations=200)
        assert proof.objective.bound is not None
        assert proof.objective.value is not None
        assert proof.objective.bound <= proof.objective.value * (1 + 1e-9)
        used = np.zeros(4)
        for r in routes:
            for h in r.route.hops:
                used[h.server] += r.sessions * 220 * (h.end - h.start)
        assert (used <= task.cost.most_cache_bytes).all()
        values.append(proof.objective.value)
    assert values == sorted(values)
    assert values[-1] > values[0]


def test_composed_chains_keep_to_the_slots(roomy: Problem) -> None:
    cost = CostModel.of(roomy)
    placement = cost.placed([(0, 6)] * 4)
    capped = cost.lasting(1.0)
    held = np.zeros(4)
    for chain in gca(capped, placement):
        for h in chain.route.hops:
            held[h.server] += chain.capacity * 220 * (h.end - h.start)
    assert (held <= capped.most_cache_bytes).all()
    assert held.sum() < sum(c.capacity * 220 * 6 for c in gca(cost, placement))
