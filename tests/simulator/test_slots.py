"""Routers that decide for all requests of a slot of time at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.errors import NoRouteError, RequestTooLargeError
from swarmplan.core.events import ServerEvent
from swarmplan.core.plan import Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.api import Decision, SlotRouter, SwarmView
from swarmplan.routing.offline import Shortest
from swarmplan.routing.state import SwarmState
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult

REQUEST = Request(
    id=0, client=0, arrival_s=0.0, prompt_tokens=11, output_tokens=11, reserved_tokens=22
)


class Together:
    """All requests of a slot on their fastest chains, at most ``most`` of them.

    Attributes
    ----------
    asked : instants at which it was asked, and about which requests.
    """

    def __init__(self, cost: CostModel, placement: Placement, tick_s: float, most: int) -> None:
        self.tick_s, self.most = tick_s, most
        self.asked: list[tuple[float, list[int]]] = []
        self._single = Shortest(cost, placement)

    def assign(
        self, requests: Sequence[Request], view: SwarmView, now_s: float
    ) -> Sequence[Decision | None]:
        assert not self.asked or now_s > self.asked[-1][0], f"asked again at {now_s} s"
        self.asked.append((now_s, [r.id for r in requests]))
        return [self._decide(r, view, now_s, i) for i, r in enumerate(requests)]

    def _decide(self, request: Request, view: SwarmView, now_s: float, i: int) -> Decision | None:
        try:
            return self._single(request, view, now_s) if i < self.most else None
        except (NoRouteError, RequestTooLargeError):
            return None

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        return self._single(request, view, now_s, start_block=start_block, exclude=exclude)


def alone(problem: Problem, sessions: int) -> Placement:
    """The first server hosts everything, with cache for so many sessions of 22 tokens."""
    spans = [(0, 6), (0, 0), (0, 0), (0, 0)]
    return CostModel.of(problem).placed(spans, cache_bytes=[sessions * 6 * 220, 0, 0, 0])


def run(
    problem: Problem,
    placement: Placement,
    arrivals: Sequence[float],
    *,
    tick_s: float = 1.0,
    most: int = 99,
    events: Sequence[ServerEvent] = (),
) -> tuple[SimulationResult, Together]:
    router = Together(CostModel.of(problem), placement, tick_s, most)
    requests = [replace(REQUEST, id=i, arrival_s=at) for i, at in enumerate(arrivals)]
    return simulate(problem, placement, router, requests, events=events), router


def test_a_router_with_slots_is_told_apart_from_one_without(tiny: Problem) -> None:
    cost, placement = CostModel.of(tiny), alone(tiny, 1)
    assert isinstance(Together(cost, placement, 1.0, 9), SlotRouter)
    assert not isinstance(Shortest(cost, placement), SlotRouter)


def test_all_requests_of_a_slot_are_decided_at_its_end(tiny: Problem) -> None:
    result, router = run(tiny, alone(tiny, 9), [0.1, 0.2, 0.9, 2.5])
    assert router.asked == [(1.0, [0, 1, 2]), (3.0, [3])]
    assert result.start_s.tolist() == [1.0, 1.0, 1.0, 3.0]
    assert result.status == ("completed",) * 4


def test_who_is_not_chosen_or_finds_no_room_waits_in_order(tiny: Problem) -> None:
    # A session takes about 0.4 s; two fit at once, and one of three is not chosen at first.
    result, router = run(tiny, alone(tiny, 2), [0.1, 0.2, 0.3, 0.4], most=3)
    assert router.asked == [(1.0, [0, 1, 2, 3]), (2.0, [2, 3])]
    assert result.start_s.tolist() == [1.0, 1.0, 2.0, 2.0]


def test_the_rule_of_the_run_is_the_routers_own(tiny: Problem) -> None:
    placement = alone(tiny, 9)
    router = Together(CostModel.of(tiny), placement, 0.5, 99)
    result = simulate(tiny, placement, router, [REQUEST], admission="reserve")
    assert result.start_s.tolist() == [0.5]
    assert "Slotted" in result.admission


def test_an_idle_swarm_serves_one_by_one_whom_the_router_never_chooses(tiny: Problem) -> None:
    result, router = run(tiny, alone(tiny, 1), [0.1, 0.2], most=0)
    assert result.status == ("completed", "completed")
    assert router.asked[0] == (1.0, [0, 1])
    assert result.start_s.tolist() == [1.0, 2.0]


def test_an_idle_swarm_refuses_whom_it_can_never_serve(tiny: Problem) -> None:
    placement = alone(tiny, 1)
    huge = replace(REQUEST, reserved_tokens=23)
    router = Together(CostModel.of(tiny), placement, 1.0, 99)
    result = simulate(tiny, placement, router, [huge, replace(REQUEST, id=1)])
    assert result.reason == ("too-large", "")
    gone, _ = run(tiny, placement, [0.1], events=[ServerEvent(time_s=0.0, server=0, up=False)])
    assert gone.reason == ("no-route",)


def test_a_server_that_is_still_to_come_is_awaited(tiny: Problem) -> None:
    events = [ServerEvent(time_s=4.5, server=0, up=True)]
    result, router = run(tiny, alone(tiny, 1), [0.1], events=events)
    assert result.start_s.tolist() == [5.0]
    assert [at for at, _ in router.asked] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_session_that_loses_its_chain_comes_back_in_the_next_slot(tiny: Problem) -> None:
    events = [
        ServerEvent(time_s=1.1, server=0, up=False),
        ServerEvent(time_s=1.5, server=0, up=True),
    ]
    result, router = run(tiny, alone(tiny, 1), [0.1], events=events)
    assert [at for at, _ in router.asked] == [1.0, 2.0]
    assert result.replays.tolist() == [1]
    assert result.status == ("completed",)


@pytest.mark.parametrize("tick_s", [1.0, 0.1, 0.3, 1 / 3])
def test_the_end_of_a_slot_is_always_later_than_now(tiny: Problem, tick_s: float) -> None:
    # The second session waits 14 s for the cache of the first.
    placement = alone(tiny, 20)
    router = Together(CostModel.of(tiny), placement, tick_s, 99)
    long = replace(REQUEST, output_tokens=20 * 22 - 11, reserved_tokens=20 * 22)
    result = simulate(tiny, placement, router, [long, replace(REQUEST, id=1)])
    assert result.status == ("completed", "completed")
    assert 10.0 < result.finish_s[0] <= result.start_s[1] <= result.finish_s[0] + 1.01 * tick_s


@given(seed=st.integers(0, 10**6), most=st.integers(0, 5), tick=st.sampled_from((0.25, 2.0)))
def test_every_request_ends_whatever_is_chosen_and_whatever_fails(
    make_problem: Callable[..., Problem],
    make_placement: Callable[..., Placement],
    seed: int,
    most: int,
    tick: float,
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    placement = make_placement(rng, problem)
    events = [
        ServerEvent(
            time_s=float(rng.uniform(0, 4)), server=int(rng.integers(5)), up=bool(rng.integers(2))
        )
        for _ in range(int(rng.integers(0, 6)))
    ]
    arrivals = np.cumsum(rng.choice([0.0, 0.01, 0.5], 20)).tolist()
    result, _ = run(problem, placement, arrivals, tick_s=tick, most=most, events=events)
    assert set(result.status) <= {"completed", "rejected"}
    assert (result.peak_cache_bytes <= placement.cache_bytes).all()
    started = result.start_s[~np.isnan(result.start_s)]
    assert (started % tick == 0).all()


def test_the_rest_of_a_chain_is_asked_for_request_by_request(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 3), (3, 6), (3, 6), (0, 0)])
    router = Together(cost, placement, 1.0, 99)
    state = SwarmState(cost, placement)
    rest = router(REQUEST, state, 0.0, start_block=3, exclude=frozenset({1})).route
    assert isinstance(rest, Route)
    assert rest.servers == (2,)
    assert router.asked == []
