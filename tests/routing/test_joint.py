"""Joint: bursts, single sessions, memory as a limit, waiting and patience."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.api import compare
from swarmplan.core.errors import NoRouteError, RequestTooLargeError
from swarmplan.core.events import ServerEvent
from swarmplan.core.names import Relay
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.contention import Pace
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.api import SlotRouter
from swarmplan.routing.joint import MOST_REQUESTS, PATIENCE_S, TICK_S, Joint
from swarmplan.routing.overlap import Overlap
from swarmplan.routing.state import SwarmState
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult

REQUEST = Request(
    id=0, client=0, arrival_s=0.0, prompt_tokens=11, output_tokens=200, reserved_tokens=211
)
FAST = Route(hops=(Hop(server=0, start=0, end=6),))
SLOW = Route(hops=(Hop(server=1, start=0, end=6),))


def whole(problem: Problem, *servers: int, pool: int = 10**7) -> tuple[CostModel, Placement]:
    """All blocks on each of these servers."""
    cost = CostModel.of(problem)
    spans = [(0, 6) if j in servers else (0, 0) for j in range(problem.num_servers)]
    return cost, cost.placed(spans, cache_bytes=[pool] * problem.num_servers)


def burst(count: int, like: Request = REQUEST) -> list[Request]:
    """So many requests at once."""
    return [replace(like, id=i) for i in range(count)]


def test_it_is_named_and_decides_by_slots(tiny: Problem) -> None:
    made = router_named("joint")(*whole(tiny, 0))
    assert isinstance(made, SlotRouter)
    assert made.tick_s == TICK_S


def test_a_request_alone_takes_the_fastest_chain(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0, 1)
    (decision,) = Joint(cost, placement).assign([REQUEST], SwarmState(cost, placement), 0.0)
    assert decision is not None
    assert decision.route == FAST
    alone = cost.route_time(FAST, cost.shape(0, 11, 200)).total_s
    assert decision.cost_s == pytest.approx(alone)


def test_a_burst_spreads_over_the_chains(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0, 1)
    state = SwarmState(cost, placement)
    decided = Joint(cost, placement).assign(burst(40), state, 0.0)
    routes = [d.route for d in decided if d]
    assert routes.count(FAST) > routes.count(SLOW) > 0


def test_all_at_once_is_no_worse_than_one_by_one_and_both_than_overlap(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0, 1)
    requests = [
        replace(REQUEST, id=i, output_tokens=n, reserved_tokens=11 + n)
        for i, n in enumerate(np.random.default_rng(0).integers(20, 300, 40).tolist())
    ]
    routers = Overlap(cost, placement), Joint(cost, placement, rounds=False), Joint(cost, placement)
    means = [simulate(tiny, placement, r, requests).response_s.mean() for r in routers]
    assert means[2] <= 1.02 * means[1]
    assert means[1] <= means[0]


def test_memory_is_never_exceeded_and_who_has_no_room_waits(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0, pool=3 * 6 * 2110)
    state = SwarmState(cost, placement)
    decided = Joint(cost, placement).assign(burst(5), state, 0.0)
    assert [d is not None for d in decided].count(True) == 3
    result = simulate(tiny, placement, Joint(cost, placement), burst(5))
    assert result.status == ("completed",) * 5
    assert (result.peak_cache_bytes <= placement.cache_bytes).all()


def test_who_runs_counts(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0, 1)
    state, router = SwarmState(cost, placement), Joint(cost, placement)
    work = float(cost.step_work_s(cost.planned(0), 0, 0, 6))
    for number in range(60):
        pace = Pace(alone_s=0.04, work_s=(work,), steps=10**4)
        state.reserve(number + 1, FAST, 22, 1e3, pace=pace)
    assert router(REQUEST, state, 0.0).route == SLOW
    (decision,) = router.assign([REQUEST], state, 0.0)
    assert decision is None or decision.route == SLOW


def test_a_session_that_lost_a_server_gets_the_rest_of_a_chain(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 3), (3, 6), (3, 6), (0, 0)], cache_bytes=[10**7] * 4)
    state, router = SwarmState(cost, placement), Joint(cost, placement)
    rest = router(REQUEST, state, 0.0, start_block=3, exclude=frozenset({1})).route
    assert rest.servers == (2,)
    assert rest.hops[0].start == 3


def test_without_room_a_single_session_is_told_as_by_overlap(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0, pool=6 * 2110)
    router, state = Joint(cost, placement), SwarmState(cost, placement)
    state.reserve(1, FAST, 211, 50.0)
    assert router(REQUEST, state, 0.0) == Overlap(cost, placement)(REQUEST, state, 0.0)
    with pytest.raises(RequestTooLargeError):
        router(replace(REQUEST, reserved_tokens=10**6), state, 0.0)
    state.set_down(0, True)
    with pytest.raises(NoRouteError):
        router(REQUEST, state, 0.0)
    assert router.assign([REQUEST], state, 0.0) == [None]


def test_who_waited_for_long_is_not_overtaken(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0, pool=3 * 6 * 2110)
    state = SwarmState(cost, placement)
    state.reserve(99, FAST, 211, 50.0)
    large = replace(REQUEST, id=0, prompt_tokens=400, reserved_tokens=600)
    line = [large, *(replace(r, arrival_s=1e6) for r in burst(3)[1:])]
    young = Joint(cost, placement).assign(line, state, PATIENCE_S - 1)
    assert [d is not None for d in young] == [False, True, True]
    old = Joint(cost, placement).assign(line, state, PATIENCE_S + 1)
    assert old == [None] * 3
    state.release(99)
    served = Joint(cost, placement).assign(line, state, PATIENCE_S + 1)
    assert [d is not None for d in served] == [True, False, False]


def test_a_long_line_is_decided_from_its_front(tiny: Problem) -> None:
    cost, placement = whole(tiny, 0, 1)
    line = burst(MOST_REQUESTS + 3, replace(REQUEST, output_tokens=2, reserved_tokens=13))
    decided = Joint(cost, placement, rounds=False).assign(line, SwarmState(cost, placement), 0.0)
    assert decided[MOST_REQUESTS:] == [None] * 3


def test_nothing_is_decided_twice_while_nothing_changes(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost, placement = whole(tiny, 0, pool=6 * 2110)
    state, router = SwarmState(cost, placement), Joint(cost, placement)
    state.reserve(99, FAST, 211, 50.0)
    assert router.assign(burst(2), state, 0.0) == [None, None]
    with monkeypatch.context() as patch:
        patch.setattr(state, "running", None)  # looking at it would fail
        assert router.assign(burst(2), state, 0.5) == [None, None]
    state.release(99)
    assert any(router.assign(burst(2), state, 1.0))


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), relay=st.sampled_from(("client", "server")))
def test_every_request_ends_within_memory_whatever_fails(
    make_problem: Callable[..., Problem],
    make_placement: Callable[..., Placement],
    seed: int,
    relay: Relay,
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, relay=relay)
    placement, cost = make_placement(rng, problem), CostModel.of(problem)
    events = [
        ServerEvent(
            time_s=float(rng.uniform(0, 4)), server=int(rng.integers(5)), up=bool(rng.integers(2))
        )
        for _ in range(int(rng.integers(0, 4)))
    ]
    requests = [
        replace(r, arrival_s=at, client=int(rng.integers(2)), output_tokens=9, reserved_tokens=20)
        for r, at in zip(burst(12), np.cumsum(rng.choice([0.0, 0.3], 12)).tolist(), strict=True)
    ]
    results = [
        simulate(problem, placement, Joint(cost, placement), requests, events=events)
        for _ in range(2)
    ]
    assert set(results[0].status) <= {"completed", "rejected"}
    assert (results[0].peak_cache_bytes <= placement.cache_bytes).all()
    assert results[0].finish_s.tobytes() == results[1].finish_s.tobytes()


def test_it_is_compared_like_any_other_router(tiny: Problem) -> None:
    done: list[SimulationResult] = []
    found = compare(
        tiny,
        [("cg-bp", "overlap"), ("cg-bp", "joint")],
        seeds=range(1),
        requests=20,
        on_result=lambda name, placement, result: done.append(result),
    )
    assert [row.error for row in found.rows] == ["", ""]
    assert [result.status for result in done] == [("completed",) * 20] * 2
    assert "Slotted" in done[1].admission
