"""Join the fastest free chain."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.errors import NoRouteError, RequestTooLargeError
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.jffc import Jffc
from swarmplan.routing.state import SwarmState


def request(number: int, client: int = 0, tokens: int = 22) -> Request:
    return Request(
        id=number,
        client=client,
        arrival_s=0.0,
        prompt_tokens=11,
        output_tokens=11,
        reserved_tokens=tokens,
    )


def test_sessions_take_the_fastest_chain_while_it_has_room(tiny: Problem) -> None:
    tiny = dataclasses.replace(
        tiny, workload=dataclasses.replace(tiny.workload, classes=tiny.workload.classes[:1])
    )
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (4, 6), (0, 3), (3, 6)], cache_bytes=[2000] * 4)
    router, state = Jffc(cost, placement), SwarmState(cost, placement)
    planned = [c.route for c in router.chains for _ in range(c.capacity)]
    assert len(planned) > len(router.chains) > 1
    for number, expected in enumerate(planned):
        route = router(request(number), state, 0.0).route
        assert route == expected
        assert state.fits_now(route, 22)
        state.reserve(number, route, 22, 100.0 + number)
    assert not state.fits_now(router(request(99), state, 0.0).route, 22)


def test_without_room_the_answer_is_the_chain_that_is_free_first(tiny: Problem) -> None:
    # Whole models on two servers: each holds one session on six blocks.
    servers = tuple(dataclasses.replace(s, memory_bytes=9_000) for s in tiny.servers)
    cost = CostModel.of(dataclasses.replace(tiny, servers=servers))
    placement = cost.placed([(0, 6), (0, 6), (0, 0), (0, 0)], cache_bytes=[1500, 1500, 0, 0])
    router, state = Jffc(cost, placement), SwarmState(cost, placement)
    first = router(request(0), state, 0.0)
    state.reserve(0, first.route, 22, 9.0)
    second = router(request(1), state, 0.0)
    state.reserve(1, second.route, 22, 5.0)
    assert (first.route.servers, second.route.servers) == ((0,), (1,))
    third = router(request(2), state, 2.0)
    assert third.route == second.route
    own = cost.route_time(second.route, cost.shape(0, 11, 11)).total_s
    assert third.cost_s == pytest.approx(3.0 + own)
    state.release(0)
    assert router(request(2), state, 2.0).route == first.route


def test_sessions_that_wait_at_a_server_keep_nobody_from_other_chains(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    spans = [(0, 6), (0, 3), (3, 6), (0, 6)]
    placement = cost.placed(spans, cache_bytes=[1_500] * 4)
    router, state = Jffc(cost, placement), SwarmState(cost, placement)
    assert sorted(c.route.servers for c in router.chains) == [(0,), (1, 2), (3,)]
    crowded = router(request(0), state, 0.0).route
    assert crowded.servers == (0,)
    for number in range(3):  # one runs, two wait: more is promised than there is
        state.reserve(number, crowded, 22, 9.0)
    decision = router(request(4), state, 0.0)
    assert decision.route.servers == (3,)
    own = cost.route_time(decision.route, cost.shape(0, 11, 11)).total_s
    assert decision.cost_s == pytest.approx(own)


def test_the_worked_example_of_four_jobs(tiny: Problem) -> None:
    # Chains of 2 s and 5 s, one session each; jobs at 0, 1, 1.5, 3 answer after 2, 5, 2.5, 3 s.
    servers = tuple(dataclasses.replace(s, memory_bytes=9_000) for s in tiny.servers)
    cost = CostModel.of(dataclasses.replace(tiny, servers=servers))
    placement = cost.placed([(0, 6), (0, 6), (0, 0), (0, 0)], cache_bytes=[1500, 1500, 0, 0])
    router, state = Jffc(cost, placement), SwarmState(cost, placement)
    seconds: dict[tuple[int, ...], float] = {(0,): 2.0, (1,): 5.0}
    arrivals = [0.0, 1.0, 1.5, 3.0]
    waiting: list[int] = []
    busy: dict[int, float] = {}
    response = [0.0] * 4
    events = sorted({*arrivals, *(float(t) / 2 for t in range(40))})
    for now in events:
        for job in [j for j, end in busy.items() if end <= now]:
            state.release(job)
            del busy[job]
        waiting += [j for j, at in enumerate(arrivals) if at == now]
        while waiting:
            decision = router(request(waiting[0]), state, now)
            if not state.fits_now(decision.route, 22):
                break
            job = waiting.pop(0)
            busy[job] = now + seconds[decision.route.servers]
            response[job] = busy[job] - arrivals[job]
            state.reserve(job, decision.route, 22, busy[job])
    assert response == [2.0, 5.0, 2.5, 3.0]


@given(order=st.lists(st.booleans(), min_size=1, max_size=60), seed=st.integers(0, 20))
def test_equal_sessions_never_exceed_the_capacity_of_a_chain(
    tiny: Problem, order: list[bool], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    spans = []
    for _ in range(4):
        start = int(rng.integers(0, 5))
        spans.append((start, int(rng.integers(start + 1, 7))))
    one_client = dataclasses.replace(
        tiny,
        clients=tiny.clients[:1],
        workload=dataclasses.replace(tiny.workload, classes=tiny.workload.classes[:1]),
        network=dataclasses.replace(tiny.network, client_rtt_s=tiny.network.client_rtt_s[:1]),
    )
    cost = CostModel.of(one_client)
    placement = cost.placed(spans, cache_bytes=rng.integers(0, 3000, 4).tolist())
    router, state = Jffc(cost, placement), SwarmState(cost, placement)
    if not router.chains:
        return
    capacity = {c.route: c.capacity for c in router.chains}
    running: dict[int, object] = {}
    for number, arrives in enumerate(order):
        if arrives:
            decision = router(request(number), state, float(number))
            if state.fits_now(decision.route, 22):
                state.reserve(number, decision.route, 22, number + 5.0)
                running[number] = decision.route
        elif running:
            gone = sorted(running)[int(rng.integers(len(running)))]
            state.release(gone)
            del running[gone]
        for route, limit in capacity.items():
            assert list(running.values()).count(route) <= limit


def test_a_lost_server_and_the_rest_of_a_route_are_answered_too(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (3, 6), (0, 3), (3, 6)], cache_bytes=[2000] * 4)
    router, state = Jffc(cost, placement), SwarmState(cost, placement)
    best = router(request(0), state, 0.0).route
    state.set_down(best.servers[0], True)
    assert best.servers[0] not in router(request(0), state, 0.0).route.servers
    rest = router(request(0), state, 0.0, start_block=3, exclude=frozenset({1}))
    assert [(h.server, h.start, h.end) for h in rest.route.hops] == [(3, 3, 6)]


def test_what_can_never_run_is_refused(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 5), (3, 6), (0, 3), (0, 0)], cache_bytes=[1000] * 4)
    router, state = Jffc(cost, placement), SwarmState(cost, placement)
    with pytest.raises(RequestTooLargeError):
        router(request(0, tokens=10_000), state, 0.0)
    state.set_down(1, True)
    with pytest.raises(NoRouteError):
        router(request(0), state, 0.0)
