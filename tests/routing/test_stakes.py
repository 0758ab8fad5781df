"""What a second counts for each goal, and the chains that follow from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.core.objective import FAIR, LATE, MEAN_RESPONSE, SLOW_DOWN, Goal
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Deadlines, Problem, Timing
from swarmplan.core.workload import Request
from swarmplan.perfmodel.contention import Crowd, Pace
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.stake import LITTLE, Stake
from swarmplan.routing.overlap import Overlap
from swarmplan.routing.stakes import DAMPED, caring_of
from swarmplan.routing.state import SwarmState

REQUEST = Request(
    id=0, client=0, arrival_s=0.0, prompt_tokens=11, output_tokens=11, reserved_tokens=22
)
FAST = Route(hops=(Hop(server=0, start=0, end=6),))


def whole(problem: Problem) -> tuple[CostModel, Placement]:
    """All blocks on the first two servers."""
    cost = CostModel.of(problem)
    spans = [(0, 6), (0, 6), (0, 0), (0, 0)]
    return cost, cost.placed(spans, cache_bytes=[100_000] * problem.num_servers)


def test_for_the_mean_response_every_second_counts_the_same(tiny: Problem) -> None:
    cost, placement = whole(tiny)
    state = SwarmState(cost, placement)
    decided = Overlap(cost, placement, MEAN_RESPONSE)(REQUEST, state, 0.0)
    assert decided.stake == Stake()


def test_for_the_slow_down_a_second_counts_by_what_the_request_takes_alone(tiny: Problem) -> None:
    cost, placement = whole(tiny)
    state = SwarmState(cost, placement)
    alone_s = Overlap(cost, placement)(REQUEST, state, 0.0).cost_s
    decided = Overlap(cost, placement, SLOW_DOWN)(REQUEST, state, 0.0)
    assert decided.stake.weight == pytest.approx(alone_s**-DAMPED)
    assert decided.cost_s == pytest.approx(alone_s * decided.stake.weight)


def test_for_fairness_the_sessions_of_a_client_share_one_vote(tiny: Problem) -> None:
    cost, placement = whole(tiny)
    state, router = SwarmState(cost, placement), Overlap(cost, placement, FAIR)
    assert router(REQUEST, state, 0.0).stake == Stake()
    for number in range(3):
        state.reserve(number, FAST, 22, 9.0, client=0)
    state.reserve(3, FAST, 22, 9.0, client=1)
    assert router(REQUEST, state, 0.0).stake == Stake(weight=4**-DAMPED)
    state.release(0)
    assert router(REQUEST, state, 0.0).stake == Stake(weight=3**-DAMPED)


def test_a_long_request_keeps_out_of_the_way_of_short_ones_sooner_than_they_of_it(
    tiny: Problem,
) -> None:
    cost, placement = whole(tiny)
    work = cost.planned(0).step_run_s(0, 0, 6)
    router = Overlap(cost, placement, SLOW_DOWN)

    def begins_to_flee(weight: float) -> int:
        for count in range(60):
            state = SwarmState(cost, placement)
            for number in range(count):
                stake = Stake(weight=weight)
                pace = Pace(alone_s=0.1, work_s=[work], steps=9, stake=stake)
                state.reserve(number, FAST, 22, 1e6, pace=pace)
            if router(REQUEST, state, 0.0).route.servers == (1,):
                return count
        return 60

    assert begins_to_flee(weight=100.0) < begins_to_flee(weight=0.01)


def test_who_comes_instead_has_the_weight_of_the_swarm() -> None:
    crowd = Crowd(np.array([True, True]))
    heavy, light = Stake(weight=9.0), Stake(weight=1.0)
    crowd.join(0, [0], Pace(alone_s=1.0, work_s=[0.5], steps=20, stake=heavy))
    crowd.join(1, [1], Pace(alone_s=1.0, work_s=[0.5], steps=20, stake=light))
    assert crowd.beside(100, 0.0) == pytest.approx([9 * 20 + 0.5 * 80 * 5, 20 + 0.5 * 80 * 5])


def test_a_session_counts_little_as_long_as_its_limit_is_far(tiny: Problem) -> None:
    for limit_s, counted in ((0.0, 2.0), (10.0, 2 * LITTLE), (1.0, 2.0), (1 / 0.85, 1.0)):
        crowd = Crowd(np.array([True]))
        stake = Stake(weight=2.0, limit_s=limit_s)
        crowd.join(0, [0], Pace(alone_s=1.0, work_s=[1e-9], steps=100, stake=stake))
        assert crowd.seats(0.0)["weight"] == pytest.approx([counted])
        assert crowd.beside(30, 0.0) == pytest.approx([30 * counted])


def slow_to_begin(problem: Problem, deadlines: Deadlines) -> tuple[CostModel, Placement]:
    """The first server answers first by far, but takes a second more for any prompt."""
    fast, *others = problem.servers
    timing = fast.timing
    assert isinstance(timing, Timing)
    fast = replace(fast, timing=replace(timing, prefill_base_s=timing.prefill_base_s + 1 / 6))
    changed = replace(problem, servers=(fast, *others))
    planning = replace(problem.planning, deadlines=deadlines)
    return whole(replace(changed, planning=planning))


def test_a_chain_that_keeps_the_deadline_is_taken_though_another_is_done_first(
    tiny: Problem,
) -> None:
    asked = replace(REQUEST, output_tokens=41, reserved_tokens=52)

    def chosen(goal: Goal, limits: Deadlines, now_s: float = 0.0) -> tuple[int, ...]:
        cost, placement = slow_to_begin(tiny, limits)
        return Overlap(cost, placement, goal)(
            asked, SwarmState(cost, placement), now_s
        ).route.servers

    soon = Deadlines(first_token_s=0.5)
    assert chosen(MEAN_RESPONSE, soon) == (0,)
    assert chosen(LATE, soon) == (1,)
    # Where both keep it or both are late, the one that is done first.
    assert chosen(LATE, Deadlines(first_token_s=5.0)) == (0,)
    assert chosen(LATE, Deadlines(first_token_s=5.0, token_s=0.05)) == (0,)
    # What was waited counts: a first token within 0.5 s is then within 5 s of the arrival.
    assert chosen(LATE, Deadlines(first_token_s=5.0), now_s=4.5) == (1,)


def test_lateness_is_counted_token_by_token() -> None:
    limits = Deadlines(first_token_s=5.0, token_s=1.0)
    assert limits.late_s(4.0, 0.5, 10) == 0.0
    assert limits.late_s(6.0, 1.5, 10) == pytest.approx(1.0 + 5.0)


def test_without_deadlines_nobody_can_be_late() -> None:
    with pytest.raises(ScenarioError, match="first_token_s"):
        caring_of(LATE, None)
