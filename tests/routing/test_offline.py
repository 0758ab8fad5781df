"""Planned routes: the fastest chain by enumeration, many sessions within every pool."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swarmplan.core.errors import NoRouteError, RequestTooLargeError
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand, Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.offline import Shortest, best_routes
from swarmplan.routing.state import SwarmState
from swarmplan.tests.chains.every import every_chain
from swarmplan.tests.placement.offline import uneven

Make = Callable[..., Problem]
Place = Callable[[np.random.Generator, Problem], Placement]


def demand(problem: Problem, *sessions: int) -> tuple[Demand, ...]:
    tokens = problem.planning.session_tokens
    return tuple(
        Demand(client=c, sessions=count, weight_tokens=1.0, cache_tokens=tokens)
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
    cost = CostModel.of(problem)
    state, shape = SwarmState(cost, placement), cost.shape(1, 10, tokens - 10)
    asked = Request(
        id=0,
        client=1,
        arrival_s=0.0,
        prompt_tokens=10,
        output_tokens=2,
        reserved_tokens=tokens,
    )
    every = list(every_chain(placement, 6))
    fitting = [
        cost.route_time(route, shape).total_s for route in every if state.fits_ever(route, tokens)
    ]
    router = Shortest(cost, placement)
    if not fitting:
        with pytest.raises(RequestTooLargeError if every else NoRouteError):
            router(asked, state, 0.0)
        return
    state.reserve(1, router(asked, state, 0.0).route, tokens, 99.0)  # load changes nothing
    decision = router(asked, state, 0.0)
    assert decision.cost_s == pytest.approx(min(fitting), rel=1e-12)


@settings(max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    here=st.integers(0, 6),
    there=st.integers(0, 6),
    unequal=st.booleans(),
)
def test_planned_sessions_fit_together_and_none_is_forgotten(
    make_problem: Make, make_placement: Place, seed: int, here: int, there: int, unequal: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    problem = uneven(problem, rng) if unequal else problem
    placement, cost = make_placement(rng, problem), CostModel.of(problem)
    assume(here + there)
    wanted = {c: k for c, k in enumerate((here, there)) if k}
    try:
        routes, unrouted = best_routes(cost, placement, demand(problem, here, there))
    except NoRouteError:
        assert (placement.coverage(6) == 0).any()
        return
    except RequestTooLargeError:
        return
    held = np.zeros(5, dtype=np.int64)
    every = list(every_chain(placement, 6))
    for planned in routes:
        assert planned.route in every
        assert planned.sessions >= 1
        for hop in planned.route.hops:
            held[hop.server] += planned.sessions * int(cost.session_bytes(hop.start, hop.end))
    assert (held <= placement.cache_bytes).all()
    for client, count in wanted.items():
        planned_here = sum(r.sessions for r in routes if r.client == client)
        assert planned_here + unrouted.get(client, 0) == count
    assert 0 not in unrouted.values()


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
    cost = CostModel.of(problem)
    routes, unrouted = best_routes(cost, roomy, demand(problem, 3, 2))
    assert not unrouted
    assert [(r.client, r.sessions) for r in routes] == [(0, 3), (1, 2)]
    for planned in routes:
        shape = cost.planned(planned.client)
        steps = [cost.step_s(r, shape) for r in every_chain(roomy, 6)]
        assert cost.step_s(planned.route, shape) == pytest.approx(min(steps), rel=1e-12)


def test_the_second_session_takes_the_next_chain_when_the_first_is_full(tiny: Problem) -> None:
    problem = dataclasses.replace(
        tiny, planning=dataclasses.replace(tiny.planning, session_tokens=10)
    )
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 6), (0, 3), (3, 6), (0, 0)], cache_bytes=[600, 300, 300, 0])
    routes, unrouted = best_routes(cost, placement, demand(problem, 3))
    assert [(r.sessions, r.route.servers) for r in routes] == [(1, (0,)), (1, (1, 2))]
    assert unrouted == {0: 1}


def test_missing_blocks_are_named_as_ranges(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 1), (3, 4), (0, 0), (0, 0)])
    with pytest.raises(NoRouteError, match=r"no server hosts blocks 1:3, 4:6"):
        best_routes(cost, placement, demand(tiny, 1))


def test_a_session_without_room_anywhere_is_refused(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)], cache_bytes=[10, 0, 0, 0])
    with pytest.raises(RequestTooLargeError, match="not one session of client 'near'"):
        best_routes(cost, placement, demand(tiny, 1))
