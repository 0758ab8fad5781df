"""Planned routes: the fastest chain by enumeration, many sessions within every pool."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swarmplan.core.errors import NoRouteError, RequestTooLargeError
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand, Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.latency import hop_cost, route_time, step_time_s
from swarmplan.routing.offline import Shortest, best_routes
from swarmplan.routing.state import SwarmState

Make = Callable[..., Problem]
Place = Callable[[np.random.Generator, Problem], Placement]


def chains(placement: Placement, length: int, at: int = 0) -> Iterator[Route]:
    """Every chain from ``at`` to the end."""
    if at == length:
        yield Route(hops=())
        return
    for j in range(len(placement.start)):
        start, end = int(placement.start[j]), int(placement.end[j])
        if start <= at < end:
            for rest in chains(placement, length, end):
                yield Route(hops=(Hop(server=j, start=at, end=end), *rest.hops))


def demand(problem: Problem, *sessions: int) -> tuple[Demand, ...]:
    return tuple(
        Demand(client=c, sessions=count, weight_tokens=1.0, cache_bytes=problem.session_bytes)
        for c, count in enumerate(sessions)
        if count
    )


@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), tokens=st.integers(12, 200))
def test_the_fastest_chain_with_pools_large_enough_is_found(
    make_problem: Make, make_placement: Place, seed: int, tokens: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    placement = make_placement(rng, problem)
    state = SwarmState(CostModel.of(problem), placement)
    asked = Request(
        id=0,
        client=1,
        arrival_s=0.0,
        prompt_tokens=10,
        output_tokens=2,
        reserved_tokens=tokens,
    )
    every = list(chains(placement, 6))
    fitting = [
        route_time(problem, 1, route, 10, tokens - 10).total_s
        for route in every
        if state.fits_ever(route, tokens)
    ]
    router = Shortest(CostModel.of(problem), placement)
    if not fitting:
        with pytest.raises(RequestTooLargeError if every else NoRouteError):
            router(asked, state, 0.0)
        return
    state.reserve(1, router(asked, state, 0.0).route, tokens, 99.0)  # load changes nothing
    decision = router(asked, state, 0.0)
    assert decision.cost_s == pytest.approx(min(fitting), rel=1e-12)


@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), here=st.integers(0, 6), there=st.integers(0, 6))
def test_planned_sessions_fit_together_and_none_is_forgotten(
    make_problem: Make, make_placement: Place, seed: int, here: int, there: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    placement = make_placement(rng, problem)
    assume(here + there)
    wanted = {c: k for c, k in enumerate((here, there)) if k}
    try:
        routes, notes = best_routes(CostModel.of(problem), placement, demand(problem, here, there))
    except NoRouteError:
        assert (placement.coverage(6) == 0).any()
        return
    except RequestTooLargeError:
        return
    held = np.zeros(5, dtype=np.int64)
    every = list(chains(placement, 6))
    for planned in routes:
        assert planned.route in every
        assert planned.sessions >= 1
        for hop in planned.route.hops:
            held[hop.server] += planned.sessions * len(hop) * problem.session_bytes
    assert (held <= placement.cache_bytes).all()
    for client, count in wanted.items():
        planned_here = sum(r.sessions for r in routes if r.client == client)
        told = [n for n in notes if f"client c{client} " in n]
        assert planned_here + (int(told[0].split()[0]) if told else 0) == count


@settings(max_examples=100)
@given(seed=st.integers(0, 10**6))
def test_without_memory_limits_every_client_takes_its_own_fastest_step(
    make_problem: Make, make_placement: Place, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    placement = make_placement(rng, problem)
    assume((placement.coverage(6) > 0).all())
    roomy = Placement(
        start=placement.start, end=placement.end, cache_bytes=np.full(5, 10**9, dtype=np.int64)
    )
    routes, notes = best_routes(CostModel.of(problem), roomy, demand(problem, 3, 2))
    assert not notes
    assert [(r.client, r.sessions) for r in routes] == [(0, 3), (1, 2)]
    for planned in routes:
        cost = hop_cost(problem, planned.client, 10, 9)
        steps = [step_time_s(problem, planned.client, r, cost) for r in chains(roomy, 6)]
        found = step_time_s(problem, planned.client, planned.route, cost)
        assert found == pytest.approx(min(steps), rel=1e-12)


def test_the_second_session_takes_the_next_chain_when_the_first_is_full(tiny: Problem) -> None:
    problem = dataclasses.replace(
        tiny, planning=dataclasses.replace(tiny.planning, session_tokens=10)
    )
    placement = CostModel.of(problem).placed(
        [(0, 6), (0, 3), (3, 6), (0, 0)], cache_bytes=[600, 300, 300, 0]
    )
    routes, notes = best_routes(CostModel.of(problem), placement, demand(problem, 3))
    assert [(r.sessions, r.route.servers) for r in routes] == [(1, (0,)), (1, (1, 2))]
    assert notes == (
        "1 planned session(s) of client near find no room beside the others and would wait",
    )


def test_missing_blocks_are_named_as_ranges(tiny: Problem) -> None:
    placement = CostModel.of(tiny).placed([(0, 1), (3, 4), (0, 0), (0, 0)])
    with pytest.raises(NoRouteError, match=r"no server hosts block\(s\) 1-2, 4-5"):
        best_routes(CostModel.of(tiny), placement, demand(tiny, 1))


def test_a_session_without_room_anywhere_is_refused(tiny: Problem) -> None:
    placement = CostModel.of(tiny).placed(
        [(0, 6), (0, 0), (0, 0), (0, 0)], cache_bytes=[10, 0, 0, 0]
    )
    with pytest.raises(RequestTooLargeError, match="not one session of client 'near'"):
        best_routes(CostModel.of(tiny), placement, demand(tiny, 1))
