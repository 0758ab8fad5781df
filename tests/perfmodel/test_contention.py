"""Waits at servers that work on one task at a time: by hand, and against the simulator."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import Problem, Timing
from swarmplan.core.workload import Request
from swarmplan.perfmodel.capacity import most_per_s
from swarmplan.perfmodel.contention import Crowd, Pace, steady_steps_s
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.engine import simulate
from swarmplan.tests.simulator.test_engine import (
    random_placement,
    random_problem,
    random_requests,
)
from swarmplan.tests.simulator.test_tasks import shared


def crowd_of(serial: list[bool], *paces: tuple[list[int], Pace]) -> Crowd:
    """Sessions 0, 1, ... at these servers."""
    crowd = Crowd(np.array(serial))
    for number, (servers, pace) in enumerate(paces):
        crowd.join(number, servers, pace)
    return crowd


def test_who_comes_waits_for_half_of_what_is_worked_on_and_all_that_stands_in_line() -> None:
    serial = [True, True, False]
    assert Crowd(np.array(serial)).wait_s(0.0).tolist() == [0.0, 0.0, 0.0]
    crowd = crowd_of(serial, ([0, 2], Pace(alone_s=1.0, work_s=[0.2, 0.5], steps=9)))
    # At work for a fifth of the time: 0.2 * 0.1 s, and as much again in line, a fifth of the time.
    assert crowd.wait_s(0.0) == pytest.approx([0.02 / 0.8, 0.0, 0.0])
    assert crowd.seats(0.0)["weight"].tolist() == [1, 0, 0]
    assert crowd.seats(0.0)["weight_per_s"].tolist() == [1.0, 0.0, 0.0]
    crowd.leave(0)
    crowd.leave(7)
    assert crowd.wait_s(0.0).tolist() == [0.0, 0.0, 0.0]


def test_those_who_are_there_wait_for_each_other_and_nobody_for_more_than_all_work() -> None:
    pace = Pace(alone_s=1.0, work_s=[0.3], steps=9)
    crowd = crowd_of([True], *[([0], pace)] * 12)
    for number in range(12, 40):  # brought up to date again and again
        crowd.join(number, [0], pace)
        crowd.wait_s(0.0)
    (seat,) = crowd.seats(0.0)
    assert 1.0 - 1e-9 < seat["use"] < 1.3  # 12 where nobody waited
    assert 0.8 * 40 * 0.3 < crowd.wait_s(0.0)[0] <= 40 * 0.3 * (1 + 1e-9)


def test_steps_are_met_while_both_are_there_and_where_it_is_busy_others_come_instead() -> None:
    pace = Pace(alone_s=1.0, work_s=[1e-9], steps=100, from_s=10.0)
    crowd = crowd_of([True, True], ([0], pace))
    assert crowd.beside(30, 0.0) == pytest.approx([30.0, 0.0])
    assert crowd.beside(300, 10.0) == pytest.approx([100.0, 0.0])
    assert crowd.beside(300, 70.0) == pytest.approx([40.0, 0.0])
    assert crowd.beside(300, 1e9) == pytest.approx([1.0, 0.0])  # late: a step away
    crowd.tell(0, 50, 1e9)
    assert crowd.beside(300, 1e9 + 20) == pytest.approx([30.0, 0.0])
    busy = crowd_of([True], ([0], Pace(alone_s=1.0, work_s=[0.5], steps=20)))
    assert busy.beside(100, 0.0) == pytest.approx([20 + 0.5 * 80])


def test_a_session_is_as_far_as_its_steps_took_it_whoever_comes_and_goes() -> None:
    crowd = crowd_of([True], ([0], Pace(alone_s=1.0, work_s=[1e-9], steps=100)))
    for number in range(1, 60):
        crowd.join(number, [0], Pace(alone_s=1.0, work_s=[1e-9], steps=1e6))
        crowd.wait_s(float(number))
        crowd.leave(number)
    assert crowd.beside(300, 60.0) == pytest.approx([40.0])


@given(st.integers(0, 10_000))
def test_a_crowd_is_what_its_members_make_of_it_in_whatever_order_they_came(seed: int) -> None:
    rng = np.random.default_rng(seed)
    serial = rng.random(5) < 0.8
    crowd, members = Crowd(serial), {}
    for number in range(30):
        servers = rng.permutation(5)[: rng.integers(1, 4)].tolist()
        work = rng.uniform(0.01, 0.3, len(servers)).tolist()
        pace = Pace(alone_s=float(rng.uniform(1, 3)), work_s=work, steps=50)
        crowd.join(number, servers, pace)
        members[number] = servers, pace
        if rng.random() < 0.5:
            gone = int(rng.choice(list(members)))
            crowd.leave(gone)
            del members[gone]
        crowd.wait_s(0.0)
    fresh = Crowd(serial)
    for number, member in members.items():
        fresh.join(number, *member)
    for changed in (crowd, fresh):
        for _ in range(60):  # as if somebody came and left
            changed.join(99, [0, 1, 2, 3, 4], Pace(alone_s=1e9, work_s=[1e-9] * 5, steps=1))
            changed.wait_s(0.0)
            changed.leave(99)
    assert crowd.wait_s(0.0) == pytest.approx(fresh.wait_s(0.0), rel=1e-3, abs=1e-6)


def test_no_run_completes_more_than_all_servers_together_compute(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 6), (0, 0), (0, 6), (0, 0)], cache_bytes=[10**6] * 4)
    requests = [
        Request(
            id=i,
            client=i % 2,
            arrival_s=0.0,
            prompt_tokens=10,
            output_tokens=20,
            reserved_tokens=30,
        )
        for i in range(200)
    ]
    most = most_per_s(cost, ([10], [20]))
    work = [cost.work_s(10, 20)(j, 0, 1) for j in range(4)]
    assert most == pytest.approx(sum(1 / w for w in work) / 6)
    result = simulate(tiny, placement, WsRr(cost, placement), requests)
    assert result.most_per_s == pytest.approx(most)
    assert 200 / result.end_s < most
    parallel = (replace(tiny.servers[0], sharing="independent"), *tiny.servers[1:])
    several = CostModel.of(replace(tiny, servers=parallel))
    assert most_per_s(several, ([10], [20])) == np.inf


@given(st.integers(0, 10_000))
def test_nor_with_floors_curves_and_overheads_of_tasks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = shared(random_problem(rng), rng, ("serial", "batched"))
    cost, placement = CostModel.of(problem), random_placement(rng, problem)
    requests = [replace(r, arrival_s=0.0) for r in random_requests(rng, 60)]
    result = simulate(problem, placement, WsRr(cost, placement), requests)
    done = [i for i, status in enumerate(result.status) if status == "completed"]
    shapes = result.prompt_tokens[done].tolist(), result.output_tokens[done].tolist()
    if done:
        assert len(done) <= result.end_s * most_per_s(cost, shapes) * (1 + 1e-9)


def test_a_row_of_a_batch_may_take_less_than_a_step_alone_and_than_one_beyond_the_curve(
    tiny: Problem,
) -> None:
    # Eight rows take 10 ms a block as one does; a ninth would take 1 s.
    curve = Timing(decode_base_s=0.01, step_curve=((8.0, 0.0),), decode_per_sequence_s=1.0)
    servers = tuple(replace(s, timing=curve, sharing="batched") for s in tiny.servers[:1])
    network = replace(tiny.network, client_rtt_s=np.zeros((2, 1)), server_rtt_s=np.zeros((1, 1)))
    cost = CostModel.of(replace(tiny, servers=servers, network=network))
    assert most_per_s(cost, ([10], [101])) == pytest.approx(1 / (6 * 100 * 0.01 / 8))
    placement = cost.placed([(0, 6)], cache_bytes=[10**6])
    requests = [
        Request(
            id=i,
            client=0,
            arrival_s=0.0,
            prompt_tokens=10,
            output_tokens=101,
            reserved_tokens=111,
        )
        for i in range(8)
    ]
    result = simulate(cost.problem, placement, WsRr(cost, placement), requests)
    alone_per_s = 1 / (6 * 100 * 0.01)
    assert 3 * alone_per_s < 8 / result.end_s <= most_per_s(cost, ([10], [101]))


def test_turns_of_a_prompt_that_goes_block_by_block_are_no_compute(tiny: Problem) -> None:
    def most(**server: float) -> float:
        servers = tuple(replace(s, task_tokens=1, **server) for s in tiny.servers)  # type: ignore[arg-type]
        return most_per_s(CostModel.of(replace(tiny, servers=servers)), ([10], [20]))

    assert most(piece_delay_s=0.1) == most()
    assert most(task_overhead_s=0.1) < most()


def test_sessions_beside_each_other_wait_as_much_as_each_of_them_makes_others_wait() -> None:
    # Two like sessions: T = 1 + D with D = u w / 2 + D u and u = w / T for the one that is met.
    work, serial = 0.2, np.array([True])
    first, second = steady_steps_s(serial, np.array([1.0, 1.0]), [[(0, work)], [(0, work)]])
    assert first == pytest.approx(second)
    use = work / first
    assert first == pytest.approx(1.0 + use * work / 2 / (1 - use), rel=1e-3)
    assert steady_steps_s(serial, np.array([1.0]), [[(0, work)]]).tolist() == [1.0]
    free = steady_steps_s(np.array([False]), np.array([1.0, 1.0]), [[(0, work)], [(0, work)]])
    assert free.tolist() == [1.0, 1.0]


def test_a_session_waits_for_the_others_at_each_of_its_servers_and_not_for_itself() -> None:
    alone = Pace(alone_s=1.0, work_s=[0.2, 0.5], steps=9)
    crowd = crowd_of([True, True, False], ([0, 1], alone))
    assert crowd.met_s(0, 0.0) == {0: 0.0, 1: 0.0}
    assert crowd.met_s(7, 0.0) == {}
    crowd.join(1, [1, 2], Pace(alone_s=1.0, work_s=[0.2, 0.3], steps=9))
    assert crowd.met_s(0, 0.0) == pytest.approx({0: 0.0, 1: 0.02 / 0.8}, rel=0.2)
    assert list(crowd.met_s(1, 0.0)) == [1]
    pair = crowd_of([True], ([0], alone_one := Pace(alone_s=1.0, work_s=[0.3], steps=9)))
    stranger_s = float(pair.wait_s(0.0)[0])
    pair.join(1, [0], alone_one)
    # Of two alike each waits for the other only: about as long as somebody who finds one.
    assert pair.met_s(0, 0.0)[0] == pytest.approx(stranger_s, rel=0.15)
    assert pair.met_s(0, 0.0)[0] < pair.wait_s(0.0)[0]


def test_nobody_waits_where_nobody_is() -> None:
    assert Crowd(np.array([True])).met_s(0, 0.0) == {}
