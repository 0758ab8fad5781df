"""The exact method under an operator's demands, against exhaustive search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from swarmplan.chains.soundness import unmet, unsound
from swarmplan.core.constraints import Constraints, Loss, ServerSpan
from swarmplan.core.errors import InfeasibleError
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.allowed import reach_of
from swarmplan.placement.exact.solve import solve_exact
from swarmplan.placement.moves.completion import completed
from swarmplan.placement.search.solve import solve_search
from swarmplan.solve.deadline import Deadline
from swarmplan.tests.placement.exact.test_solve import drawn, relayed
from swarmplan.tests.placement.offline import best_plan_s, offline, task_for


def under(problem: Problem, **asked: object) -> Problem:
    """The problem with demands."""
    constraints = Constraints(**asked)  # type: ignore[arg-type]
    return replace(problem, planning=replace(problem.planning, constraints=constraints))


def demanding(seed: int) -> tuple[Problem, Sequence[Demand]]:
    """A random tiny instance with pins, bans, copies or losses."""
    rng = np.random.default_rng(seed)
    given, demand = relayed(seed) if seed % 3 == 0 else drawn(seed, servers=3, blocks=4)
    larger = tuple(replace(s, memory_bytes=int(1.5 * s.memory_bytes)) for s in given.servers)
    n, length = given.num_servers, given.model.num_blocks
    problem = replace(given, servers=larger if seed % 2 else given.servers)

    def span() -> ServerSpan:
        start = int(rng.integers(0, length))
        return ServerSpan(
            server=int(rng.integers(n)), start=start, end=int(rng.integers(start + 1, length + 1))
        )

    kind = int(rng.integers(5))
    lost = Loss(name="x", servers=frozenset({int(rng.integers(n))}))
    return under(
        problem,
        pinned=(span(),) if kind in (0, 3) else (),
        forbidden=(span(),) if kind in (1, 3, 4) else (),
        copies=2 if kind == 2 or (kind == 4 and rng.random() < 0.5) else 1,
        survive=(lost,) if kind == 4 else (),
    ), demand


@pytest.mark.parametrize("seed", range(24))
def test_what_is_asked_of_hosts_is_met_at_the_optimum_of_exhaustive_search(seed: int) -> None:
    problem, demand = demanding(seed)
    cost = CostModel.of(problem)
    best = best_plan_s(problem, demand)
    relay = problem.network.relay == "server"
    limit = Deadline.after(1.5 if relay else 40.0)
    task = task_for(problem, demand, gap=1e-5, deadline=limit)
    if not np.isfinite(best):
        with pytest.raises(InfeasibleError):
            solve_exact(task)
        return
    placement, routes, proof = solve_exact(task)
    assert not unsound(cost, placement, routes, demand)
    assert not [*unmet(cost, placement)]
    assert proof.objective.value == pytest.approx(best, rel=1e-9)
    assert proof.objective.bound is not None
    assert proof.objective.bound <= best * (1 + 1e-9)
    # Under server relay a middle server's answer may be the last one, which no bound knows.
    assert proof.status == "optimal" or relay


@pytest.mark.parametrize("seed", range(30, 42))
def test_search_keeps_pins_and_bans_from_the_beginning(seed: int) -> None:
    given, demand = drawn(seed, servers=3, blocks=4)
    length = given.model.num_blocks
    problem = under(
        given,
        pinned=(ServerSpan(server=0, start=0, end=1),),
        forbidden=(ServerSpan(server=1, start=length - 1, end=length),),
    )
    if not np.isfinite(best_plan_s(problem, demand)) or problem.num_servers < 2:
        pytest.skip("no plan")
    placement, routes, _ = solve_search(task_for(problem, demand, gap=0.0), max_steps=60)
    assert not [*unmet(CostModel.of(problem), placement)]
    assert not unsound(CostModel.of(problem), placement, routes, demand)


def test_spans_end_where_bans_and_pins_leave_room() -> None:
    asked = Constraints(
        pinned=(ServerSpan(server=1, start=1, end=4),),
        forbidden=(ServerSpan(server=0, start=2, end=3),),
    )
    reach = reach_of(asked, np.array([3, 2, 9]), 5)
    assert reach.tolist() == [[0, 1, 2, 0, 1, 2], [0, 0, 0, 0, 2, 0], [0, 1, 2, 3, 4, 5]]


def test_hosts_are_added_beside_chains_that_stay() -> None:
    problem = under(
        offline(blocks=4, tau_ms=[1.0] * 3, memory=[4.5] * 3, cache=0.1, hop_ms=[[1.0, 9.0, 9.0]]),
        copies=2,
    )
    task = task_for(problem, [Demand(client=0, sessions=1, weight_tokens=1.0, cache_tokens=1)])
    alone = replace(problem, planning=replace(problem.planning, constraints=Constraints()))
    placement, routes, _ = solve_search(replace(task, cost=CostModel.of(alone)), max_steps=5)
    whole = completed(task, placement, routes)
    assert whole is not None
    assert whole.coverage(4).min() >= 2
    assert (int(whole.start[0]), int(whole.end[0])) == (0, 4)
    three = under(problem, copies=3)
    tight = replace(three, servers=(*three.servers[:2], replace(three.servers[2], max_blocks=2)))
    assert completed(replace(task, cost=CostModel.of(tight)), placement, routes) is None


@pytest.mark.parametrize("copies", [1, 2])
def test_impossible_pins_are_refused_with_their_reason(copies: int) -> None:
    problem = under(
        offline(blocks=4, tau_ms=[1.0] * 3, memory=[2.5, 5, 5], cache=0.1, hop_ms=[[1.0] * 3]),
        pinned=(ServerSpan(server=0, start=0, end=3),),
        copies=copies,
    )
    demand = [Demand(client=0, sessions=1, weight_tokens=1.0, cache_tokens=1)]
    with pytest.raises(InfeasibleError, match="server s0 is pinned to 3 blocks"):
        solve_exact(task_for(problem, demand, deadline=Deadline.after(2.0)))
