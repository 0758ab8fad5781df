"""Reservations against a list of them that is searched from end to end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.contention import Pace
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.api import Running
from swarmplan.routing.state import SwarmState

TOKENS = st.integers(1, 60)
FINISH = st.integers(0, 20).map(float)
#: Tiles of the six blocks over the servers of ``spans``.
ROUTES = (
    Route(hops=(Hop(server=0, start=0, end=4), Hop(server=1, start=4, end=6))),
    Route(hops=(Hop(server=2, start=0, end=3), Hop(server=3, start=3, end=6))),
    Route(
        hops=(
            Hop(server=2, start=0, end=3),
            Hop(server=0, start=3, end=4),
            Hop(server=1, start=4, end=6),
        )
    ),
)
STEP = st.one_of(
    st.tuples(st.just("reserve"), st.sampled_from(ROUTES), TOKENS, FINISH),
    st.tuples(st.just("release"), st.integers(0, 9), TOKENS, FINISH),
    st.tuples(st.just("retime"), st.integers(0, 9), TOKENS, FINISH),
)


@dataclass
class Book:
    """The plainest bookkeeping: session -> (route, bytes per block, finish)."""

    pool: list[int]
    held: dict[int, tuple[Route, int, float]] = field(default_factory=dict)

    def parts(self, server: int) -> list[tuple[float, int]]:
        """(finish, bytes) of everything at a server."""
        return [
            (finish, each * len(hop))
            for route, each, finish in self.held.values()
            for hop in route.hops
            if hop.server == server
        ]

    def free(self, server: int) -> int:
        """Bytes not reserved; negative when over-booked."""
        return self.pool[server] - sum(size for _, size in self.parts(server))

    def ready(self, server: int, need: int, now: float) -> float:
        """First instant at which the need fits, if everything ends when expected."""
        if need > self.pool[server]:
            return math.inf
        if need <= self.free(server):
            return now
        for at in sorted({finish for finish, _ in self.parts(server)}):
            later = sum(size for finish, size in self.parts(server) if finish > at)
            if need <= self.pool[server] - later:
                return max(at, now)
        return math.inf


def spans(cost: CostModel) -> Placement:
    return cost.placed([(0, 4), (4, 6), (0, 3), (3, 6)], cache_bytes=[2000] * 4)


@given(steps=st.lists(STEP, max_size=12), now=FINISH, need=st.integers(0, 2_500))
def test_every_answer_is_that_of_a_plain_list_of_reservations(
    tiny: Problem, steps: list[tuple[str, object, int, float]], now: float, need: int
) -> None:
    cost = CostModel.of(tiny)
    placement = spans(cost)
    state, book = SwarmState(cost, placement), Book(placement.cache_bytes.tolist())
    for number, (kind, what, tokens, finish) in enumerate(steps):
        before = state.version.copy()
        touched: tuple[int, ...] = ()
        if kind == "reserve" and isinstance(what, Route):
            state.reserve(number, what, tokens, finish)
            book.held[number] = (what, 10 * tokens, finish)
            touched = what.servers
        elif kind == "release" and isinstance(what, int):
            state.release(what)
            touched = book.held.pop(what)[0].servers if what in book.held else ()
        elif isinstance(what, int) and what in book.held:
            state.retime(what, finish, steps=1, now_s=0.0)
            route, each, _ = book.held[what]
            book.held[what] = (route, each, finish)
            touched = route.servers
        assert set((state.version > before).nonzero()[0].tolist()) == set(touched)
    for j in range(4):
        assert state.free_bytes[j] == book.free(j)
        assert state.ready_s(j, need, now) == book.ready(j, need, now)
        needs = sorted({need // 3, need // 2, need, need + 600})
        many = [ready.at_s(now) for ready in state.ready_many(j, needs)]
        assert many == [book.ready(j, x, now) for x in needs]
        here = [s for s, (route, _, _) in book.held.items() if j in route.servers]
        assert sorted(state.sessions_at(j)) == sorted(here)
        assert state.count_at(j) == len(here)
        assert state.occupancy()[j] == 1 - book.free(j) / 2000
    for route in ROUTES:
        each = need // 10
        waits = [book.ready(h.server, 10 * each * len(h), now) - now for h in route.hops]
        assert state.wait_s(route, each, now) == max(waits)
        fits = all(10 * each * len(h) <= book.free(h.server) for h in route.hops)
        assert state.fits_now(route, each) == fits
        assert state.fits_ever(route, each) == all(10 * each * len(h) <= 2000 for h in route.hops)
    assert all(state.holds(s) == (s in book.held) for s in range(12))


def test_reserving_and_releasing_everything_leaves_nothing_behind(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    state = SwarmState(cost, spans(cost))
    for number in range(30):
        state.reserve(number, ROUTES[number % 3], 5 + number, 3.0)
    assert state.free_bytes.min() < 0  # sessions that wait are booked too
    for number in reversed(range(30)):
        state.release(number)
    assert state.free_bytes.tolist() == state.pool_bytes.tolist()
    assert state.occupancy().tolist() == [0.0] * 4


def test_a_server_that_is_down_fits_nothing_until_it_is_back(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    state = SwarmState(cost, spans(cost))
    state.set_down(0, True)
    assert not state.fits_now(ROUTES[0], 1)
    assert state.fits_ever(ROUTES[0], 1)
    state.set_down(0, False)
    assert state.fits_now(ROUTES[0], 1)


def test_the_state_of_one_run_never_changes_the_placement(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = spans(cost)
    state = SwarmState(cost, placement)
    state.reserve(0, ROUTES[0], 20, 1.0)
    assert placement.cache_bytes.tolist() == [2000] * 4
    assert SwarmState(cost, placement).free_bytes.tolist() == [2000] * 4


def test_a_session_holds_what_the_very_blocks_of_its_hops_take(tiny: Problem) -> None:
    model = replace(tiny.model, cache_bytes_per_token=(1, 2, 3, 4, 50, 60))
    cost = CostModel.of(replace(tiny, model=model))
    state = SwarmState(cost, spans(cost))
    state.reserve(0, ROUTES[2], 10, 1.0)  # blocks 0:3, 3:4 and 4:6
    assert state.free_bytes.tolist() == [2000 - 40, 2000 - 1100, 2000 - 60, 2000]
    assert not state.fits_now(ROUTES[0], 10)  # another 1100 on blocks 4:6
    assert state.fits_ever(ROUTES[0], 10)
    assert state.wait_s(ROUTES[0], 10, 0.5) == 0.5


def test_of_who_runs_it_tells_the_work_and_the_steps_that_are_left(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (4, 6), (0, 3), (3, 6)], cache_bytes=[10**6] * 4)
    state = SwarmState(cost, placement)
    pace = Pace(alone_s=0.4, work_s=(0.1, 0.2), steps=50, from_s=10.0)
    state.reserve(7, ROUTES[0], 20, 30.0, pace=pace)
    state.reserve(5, ROUTES[1], 20, 30.0)  # of this one nothing is known
    (found,) = state.running(10.0)
    assert found == Running(servers=(0, 1), work_s=(0.1, 0.2), alone_s=0.4, steps=50.0)
    assert state.running(18.0)[0].steps == pytest.approx(30.0)
    state.retime(7, 20.0, steps=3.0, now_s=18.0)
    assert state.running(18.0)[0].steps == 3.0
    assert state.running(99.0)[0].steps == 1.0
    state.release(7)
    assert state.running(10.0) == []


def test_where_nobody_stands_in_line_steps_are_told_by_the_expected_end(tiny: Problem) -> None:
    apart = replace(tiny, servers=tuple(replace(s, sharing="independent") for s in tiny.servers))
    cost = CostModel.of(apart)
    placement = cost.placed([(0, 4), (4, 6), (0, 3), (3, 6)], cache_bytes=[10**6] * 4)
    state = SwarmState(cost, placement)
    state.reserve(7, ROUTES[0], 20, 30.0, pace=Pace(alone_s=0.5, work_s=(0.1, 0.2), steps=50))
    assert [s.steps for s in state.running(10.0)] == [40.0]
