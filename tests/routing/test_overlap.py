"""Overlap: as WS-RR in an idle swarm, elsewhere it keeps out of the way of others."""

from dataclasses import replace

import pytest

from swarmplan.core.errors import NoRouteError, RequestTooLargeError
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.contention import Pace
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.overlap import Overlap
from swarmplan.routing.state import SwarmState
from swarmplan.routing.ws_rr import WsRr

REQUEST = Request(
    id=0, client=0, arrival_s=0.0, prompt_tokens=11, output_tokens=11, reserved_tokens=22
)
#: Steps that those who are there have yet to make.
STEPS = 4
FAST = Route(hops=(Hop(server=0, start=0, end=6),))


def whole(problem: Problem, *servers: int) -> tuple[CostModel, Placement]:
    """All blocks on each of these servers."""
    cost = CostModel.of(problem)
    spans = [(0, 6) if j in servers else (0, 0) for j in range(problem.num_servers)]
    return cost, cost.placed(spans, cache_bytes=[100_000] * problem.num_servers)


def busy(cost: CostModel, placement: Placement, sessions: int) -> SwarmState:
    """So many sessions on the fast server, a step every 0.1 s."""
    state = SwarmState(cost, placement)
    work = cost.planned(0).step_run_s(0, 0, 6)
    for number in range(sessions):
        pace = Pace(alone_s=0.1, work_s=[work], steps=STEPS)
        state.reserve(number + 1, FAST, 22, 1e6, pace=pace)
    return state


def caused(state: SwarmState, work: float, prompt: float, tasks: int, step_s: float) -> float:
    """What ten steps and a prompt delay those on the fast server, for a request at instant 0."""
    (seat, *_), wait = state.crowd.seats(0.0), state.crowd.wait_s(0.0)[0]
    met = seat["weight"] * STEPS + seat["use"] * seat["weight"] * (10 - STEPS)
    often = min(seat["weight"], (prompt / tasks + wait) * seat["weight_per_s"])
    return float(met * work / step_s * (work / 2 + wait) + prompt * often)


def test_in_an_idle_swarm_it_decides_as_ws_rr(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0, 1)
    state = SwarmState(cost, placement)
    assert Overlap(cost, placement)(REQUEST, state, 0.0) == WsRr(cost, placement)(
        REQUEST, state, 0.0
    )


def test_a_crowded_server_costs_the_waits_and_the_delays_of_others(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0)
    router, shape = Overlap(cost, placement), cost.shape(0, 11, 11)
    alone = cost.route_time(FAST, shape)
    state = busy(cost, placement, 3)
    work, wait = shape.step_run_s(0, 0, 6), state.crowd.wait_s(0.0)[0]
    assert wait > 0
    own = (10 + 1) * wait
    others = caused(state, work, cost.prefill_run_s(11)(0, 0, 6), 1, alone.total_s / 11)
    assert others > 0
    decision = router(REQUEST, state, 0.0)
    assert decision.cost_s == pytest.approx(alone.total_s + own + others)


def test_a_prompt_that_is_cut_waits_for_each_of_its_blocks(tiny: Problem) -> None:
    servers = tuple(replace(s, task_tokens=1) for s in tiny.servers)
    cost, placement = whole(replace(tiny, servers=servers), 0)
    whole_cost, _ = whole(tiny, 0)
    state = busy(cost, placement, 3)
    uncut = Overlap(whole_cost, placement)(REQUEST, busy(whole_cost, placement, 3), 0.0)
    cut = Overlap(cost, placement)(REQUEST, state, 0.0)
    prompt = cost.prefill_run_s(11)(0, 0, 6)
    less = caused(state, 0.0, prompt, 1, 1.0) - caused(state, 0.0, prompt, 6, 1.0)
    more = 5 * state.crowd.wait_s(0.0)[0] - less
    assert cut.cost_s - uncut.cost_s == pytest.approx(more)


def test_the_overhead_of_a_task_is_work_that_others_wait_for(tiny: Problem) -> None:
    servers = tuple(replace(s, task_overhead_s=0.05) for s in tiny.servers)
    cost, placement = whole(replace(tiny, servers=servers), 0)
    shape, state = cost.shape(0, 11, 11), busy(cost, placement, 3)
    work, wait = shape.step_run_s(0, 0, 6) + 0.05, state.crowd.wait_s(0.0)[0]
    alone = cost.route_time(FAST, shape)
    prompt = cost.prefill_run_s(11)(0, 0, 6) + 0.05
    others = caused(state, work, prompt, 1, alone.total_s / 11)
    decision = Overlap(cost, placement)(REQUEST, state, 0.0)
    assert decision.cost_s == pytest.approx(alone.total_s + (10 + 1) * wait + others)


def test_with_enough_sessions_the_slow_server_is_the_better_one(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0, 1)
    router = Overlap(cost, placement)
    chosen = [router(REQUEST, busy(cost, placement, n), 0.0).route.servers[0] for n in range(40)]
    assert chosen[0] == 0
    assert chosen[-1] == 1
    assert chosen == sorted(chosen)


def test_a_server_without_room_is_passed_over_or_waited_for(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 6), (0, 6), (0, 0), (0, 0)], cache_bytes=[1_320, 1_320, 0, 0])
    state, router = SwarmState(cost, placement), Overlap(cost, placement)
    state.reserve(1, FAST, 22, 5.0)
    assert router(REQUEST, state, 0.0).route.servers == (1,)
    state.reserve(2, Route(hops=(Hop(server=1, start=0, end=6),)), 22, 500.0)
    late = router(REQUEST, state, 1.0)
    assert late.route.servers == (0,)
    alone = cost.route_time(FAST, cost.shape(0, 11, 11)).total_s
    assert late.cost_s == pytest.approx(alone + 4.0)


def test_what_cannot_be_is_refused_as_by_every_router(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0)
    router, state = Overlap(cost, placement), SwarmState(cost, placement)
    with pytest.raises(RequestTooLargeError):
        router(replace(REQUEST, reserved_tokens=100_000), state, 0.0)
    with pytest.raises(NoRouteError):
        router(REQUEST, state, 0.0, exclude=frozenset({0}))
    state.set_down(0, True)
    with pytest.raises(NoRouteError):
        router(REQUEST, state, 0.0)
