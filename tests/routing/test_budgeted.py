"""Budgeted: as overlap while budgets are kept, else by what chains spend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.allowance import Allowance
from swarmplan.core.errors import ScenarioError
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.expense import work_w
from swarmplan.routing.budgeted import Account, OnBudget
from swarmplan.routing.overlap import Overlap
from swarmplan.routing.state import SwarmState
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult

#: What a request keeps the whole model busy for, on the fast and on the slow server, seconds.
FAST_S, SLOW_S = 6 * (0.0062 + 10 * 0.002), 6 * (0.031 + 10 * 0.010)


def request(number: int = 0) -> Request:
    return Request(
        id=number,
        client=0,
        arrival_s=float(number),
        prompt_tokens=11,
        output_tokens=11,
        reserved_tokens=22,
    )


def thirsty(tiny: Problem, *, slow: bool = True) -> tuple[CostModel, Placement]:
    """The whole model on the fast server, which takes 1,000 W to work, and on a slow one: 10 W."""
    watts = (1_000.0, 10.0 if slow else None, None, None)
    servers = (
        replace(s, idle_w=None if w is None else 0.0, busy_w=w, price_per_s=w)
        for s, w in zip(tiny.servers, watts, strict=True)
    )
    cost = CostModel.of(replace(tiny, servers=tuple(servers)))
    return cost, cost.placed([(0, 6), (0, 6), (0, 0), (0, 0)], cache_bytes=[10**6] * 4)


def asked(**budgets: object) -> Allowance:
    return replace(Allowance(weight=1.0, slot_s=10.0), **budgets)  # type: ignore[arg-type]


def chosen(router: OnBudget, state: SwarmState, number: int, now_s: float) -> int:
    return router(request(number), state, now_s).route.servers[0]


def test_while_nothing_is_overdrawn_it_decides_as_overlap(tiny: Problem) -> None:
    cost, placement = thirsty(tiny)
    state = SwarmState(cost, placement)
    router = OnBudget(cost, placement, allowance=asked(energy_w=1e6))
    for number in range(5):
        now = 20.0 * number
        plain = Overlap(cost, placement)(request(number), state, now)
        assert router(request(number), state, now) == plain
    assert router.accounts[0].budget.backlog == 0.0


def test_what_was_overdrawn_turns_requests_away_until_it_is_paid_back(tiny: Problem) -> None:
    cost, placement = thirsty(tiny)
    state = SwarmState(cost, placement)
    router = OnBudget(cost, placement, allowance=asked(energy_w=5.0))
    (account,) = router.accounts
    assert chosen(router, state, 0, 0.0) == 0
    assert account.budget.backlog == 0.0  # the slot is not over
    spent = 1_000 * FAST_S / 50
    assert chosen(router, state, 1, 10.0) == 1
    assert account.budget.backlog == pytest.approx(spent - 1)
    assert chosen(router, state, 2, 30.0) == 1
    after = spent - 1 + 10 * SLOW_S / 50 - 1 - 1
    assert account.budget.backlog == pytest.approx(after)
    assert chosen(router, state, 3, 300.0) == 0
    assert account.budget.backlog == 0.0


def test_the_cost_that_is_told_is_time_alone(tiny: Problem) -> None:
    cost, placement = thirsty(tiny)
    state = SwarmState(cost, placement)
    router = OnBudget(cost, placement, allowance=asked(energy_w=5.0))
    router(request(0), state, 0.0)
    found = router(request(1), state, 10.0)
    time = cost.route_time(found.route, cost.shape(0, 11, 11)).total_s
    assert found.cost_s == pytest.approx(time)


def test_who_asks_again_spends_once_and_who_is_rerouted_spends_more(tiny: Problem) -> None:
    cost, placement = thirsty(tiny)
    state = SwarmState(cost, placement)
    router = OnBudget(cost, placement, allowance=asked(energy_w=1.0))
    for now in (0.0, 1.0, 3.0):
        router(request(0), state, now)
    router.accounts[0].close(1)
    backlog = router.accounts[0].budget.backlog
    assert backlog == pytest.approx(1_000 * FAST_S / 10 - 1)
    router(request(0), state, 10.0, start_block=3, exclude=frozenset({0}))
    router.accounts[0].close(2)
    more = 10 * SLOW_S / 2 / 10
    assert router.accounts[0].budget.backlog == pytest.approx(backlog + more - 1)


@pytest.mark.parametrize("down", [True, False])
def test_a_server_that_is_down_or_without_the_figure_spends_nothing(
    tiny: Problem, down: bool
) -> None:
    cost, placement = thirsty(tiny, slow=False)
    state = SwarmState(cost, placement)
    state.set_down(0, True)
    router = OnBudget(cost, placement, allowance=asked(energy_w=0.001, money_per_s=0.001))
    for number in range(30):
        assert chosen(router, state, number, 10.0 * number) == 1
        assert [a.budget.backlog for a in router.accounts] == [0.0, 0.0]
    if not down:  # it comes back without debts
        state.set_down(0, False)
        assert chosen(router, state, 30, 300.0) == 0


@given(
    spent=st.lists(st.tuples(st.integers(0, 40), st.floats(0, 5)), max_size=20),
)
def test_an_account_is_the_queue_of_its_slots(spent: list[tuple[int, float]]) -> None:
    account = Account(name="energy", per_work=np.zeros(1))
    by_slot = [0.0] * 42
    for slot, amount in sorted(spent):
        account.close(slot)
        account.charge(amount)
        by_slot[slot] += amount
    account.close(42)
    queue = 0.0
    for amount in by_slot:
        queue = max(queue + amount - 1.0, 0.0)
    assert account.budget.backlog == pytest.approx(queue)


def test_without_a_budget_it_is_refused_and_by_name_it_takes_that_of_the_problem(
    tiny: Problem,
) -> None:
    cost, placement = thirsty(tiny)
    with pytest.raises(ScenarioError, match="router budgeted needs energy_watts"):
        router_named("budgeted")(cost, placement)
    planning = replace(cost.problem.planning, allowance=asked(energy_w=3.0))
    told = CostModel.of(replace(cost.problem, planning=planning))
    router = router_named("budgeted")(told, placement)
    assert isinstance(router, OnBudget)
    assert [a.name for a in router.accounts] == ["energy"]


def power_w(cost: CostModel, result: SimulationResult) -> float:
    """Mean power of work over a run."""
    return float(np.nansum(work_w(cost.problem) * result.compute_busy_frac))


def test_a_run_keeps_its_energy_budget_and_takes_longer(tiny: Problem) -> None:
    """At 0.4 requests/s the fast server takes 63 W of work, the slow one 3."""
    cost, placement = thirsty(tiny)
    requests = [replace(request(i), arrival_s=2.5 * i) for i in range(400)]
    free = simulate(cost.problem, placement, Overlap(cost, placement), requests)
    assert power_w(cost, free) > 60
    means = []
    for weight in (1.0, 8.0, 64.0):
        allowance = Allowance(energy_w=30.0, weight=weight, slot_s=10.0)
        router = OnBudget(cost, placement, allowance=allowance)
        kept = simulate(cost.problem, placement, router, requests)
        backlog = router.accounts[0].budget.backlog * 10.0 * 30.0
        assert power_w(cost, kept) <= 30.0 + 1.1 * backlog / kept.end_s + 1.0
        means.append(float(kept.response_s.mean()))
    assert sorted(means, reverse=True) == means
    assert means[-1] >= float(free.response_s.mean())
