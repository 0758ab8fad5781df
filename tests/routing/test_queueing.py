"""The queueing value: alone as the latency model, beside others as the engine finds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.names import Relay
from swarmplan.core.plan import Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing import progress
from swarmplan.routing.api import Decision, Running, SwarmView
from swarmplan.routing.queueing import (
    Course,
    Part,
    Queueing,
    Rest,
    Rows,
    course_of,
    rest_of,
    rows_of,
    sessions_of,
)
from swarmplan.routing.slot import WAIT
from swarmplan.simulator.engine import simulate
from swarmplan.tests.chains.every import every_chain

REQUEST = Request(
    id=0, client=0, arrival_s=0.0, prompt_tokens=11, output_tokens=11, reserved_tokens=22
)


class Given:
    """Every request on the chain that was decided for it."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        return Decision(route=self._routes[request.id], cost_s=0.0)


def alike(problem: Problem, *, cut: bool) -> Problem:
    """Prompts that are one task each, or one for each block."""
    servers = (replace(s, task_tokens=1 if cut else 128) for s in problem.servers)
    return replace(problem, servers=tuple(servers))


def valued(cost: CostModel, requests: Sequence[Request], routes: Sequence[Route]) -> Queueing:
    """All on their chains."""
    courses = (course_of(cost, r, route) for r, route in zip(requests, routes, strict=True))
    return Queueing(
        offered=tuple((c,) for c in courses),
        running=Rows(),
        wait_s=np.full(len(requests), 7.0),
        servers=cost.problem.num_servers,
    )


@pytest.mark.parametrize("relay", ["client", "server"])
@given(seed=st.integers(0, 10**6), cut=st.booleans())
def test_a_session_alone_takes_what_the_engine_finds(
    make_problem: Callable[..., Problem],
    make_placement: Callable[..., Placement],
    relay: Relay,
    seed: int,
    cut: bool,
) -> None:
    rng = np.random.default_rng(seed)
    problem = alike(make_problem(rng, relay=relay), cut=cut)
    cost, placement = CostModel.of(problem), make_placement(rng, problem)
    for route in list(every_chain(placement, 6))[:3]:
        value = valued(cost, [REQUEST], [route])
        (end,) = value.ends_s(np.array([0]))
        roomy = replace(placement, cache_bytes=placement.cache_bytes + 10**6)
        found = simulate(problem, roomy, Given([route]), [REQUEST])
        assert end == pytest.approx(found.response_s[0], rel=1e-6)
        assert value.alone_s()[0] == pytest.approx(end, rel=1e-9)


@pytest.mark.parametrize("cut", [False, True])
def test_beside_others_it_is_near_what_the_engine_finds(tiny: Problem, cut: bool) -> None:
    problem = alike(tiny, cut=cut)
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 6), (0, 3), (3, 6), (0, 0)], cache_bytes=[10**6] * 4)
    chains = list(every_chain(placement, 6))
    rng, off = np.random.default_rng(0), []
    for _ in range(20):
        requests = [
            replace(
                REQUEST,
                id=i,
                client=int(rng.integers(2)),
                output_tokens=int(n),
                reserved_tokens=11 + int(n),
            )
            for i, n in enumerate(rng.integers(20, 200, 10))
        ]
        routes = [chains[i] for i in rng.integers(len(chains), size=10)]
        found = simulate(problem, placement, Given(routes), requests).response_s
        told = valued(cost, requests, routes).ends_s(np.zeros(10, dtype=np.int64))
        off.append(told.mean() / found.mean() - 1.0)
    assert np.abs(off).mean() <= 0.10


def test_many_sessions_on_one_server_take_turns() -> None:
    """Sessions of 0.1 s work and 0.3 s on the wire: n x 0.1 s a step once the server is full."""
    for count in (8, 16, 32):
        assert step_s(count, progress.LEFT) == pytest.approx(count * 0.1, rel=0.08)


def test_with_whole_tasks_left_it_is_schweitzers_fixed_point(shared_data: Path) -> None:
    golden = json.loads((shared_data / "golden" / "slot.json").read_text())["serial_steps"]
    for count, expected in enumerate(golden["schweitzer"], start=1):
        assert step_s(count, 1.0) == pytest.approx(expected, rel=0.02)
    for row in golden["exact"]:  # of steps whose work is drawn at random: constant ones are faster
        assert step_s(row["sessions"], progress.LEFT) < row["step_s"] * 1.03


def step_s(count: int, left: float) -> float:
    """Step of so many equal sessions by the compiled part."""
    course = Course(parts=(Part(server=0, work_s=0.1),), steps=1.0, idle_s=0.3)
    sessions = sessions_of(rows_of([course] * count))
    first, nobody = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return float(progress.ends_s(sessions, first, nobody, 1, left).max())


def test_what_starts_delays_what_runs_until_it_has_gone() -> None:
    short = Course(parts=(Part(server=0, work_s=0.1),), steps=10.0, idle_s=0.0)
    long = Course(parts=(Part(server=0, work_s=0.1),), steps=1000.0, idle_s=0.0)
    value = Queueing(
        offered=((short,),), running=rows_of([long]), wait_s=np.array([7.0]), servers=1
    )
    assert value.ends_s(np.array([WAIT])).tolist() == pytest.approx([100.0])
    assert value(np.array([WAIT])) == pytest.approx(107.0)
    ends = value.ends_s(np.array([0]))
    assert ends[0] == pytest.approx(2.0, rel=0.25)
    assert ends[1] == pytest.approx(101.0, rel=0.01)


def test_nobody_waits_where_nobody_stands_in_line() -> None:
    free = Course(parts=(Part(server=-1, work_s=0.1),), steps=10.0, idle_s=0.1)
    value = Queueing(offered=((free,), (free,)), running=Rows(), wait_s=np.zeros(2), servers=1)
    assert value.ends_s(np.zeros(2, dtype=np.int64)).tolist() == pytest.approx([2.0, 2.0])


def test_a_prompt_that_is_cut_waits_for_each_of_its_tasks() -> None:
    runs = Course(parts=(Part(server=0, work_s=0.1),), steps=1e6, idle_s=0.1)
    ends = []
    for tasks in (1.0, 10.0):
        part = Part(server=0, work_s=0.0, tasks=tasks, piece_s=0.01)
        prompt = Course(parts=(part,), steps=0.0, idle_s=0.0)
        value = Queueing(
            offered=((prompt,),), running=rows_of([runs]), wait_s=np.zeros(1), servers=1
        )
        ends.append(float(value.ends_s(np.array([0]))[0]))
    assert ends[1] == pytest.approx(10 * ends[0], rel=0.5)
    assert ends[0] > 0.02


def test_of_a_session_that_runs_steps_are_left(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    session = Running(servers=(0, 2), work_s=(0.1, 0.2), alone_s=0.5, steps=40.0)
    rest = rest_of(cost, session)
    assert rest.steps == 40.0
    assert rest.idle_s == pytest.approx(0.2)
    assert [(p.server, p.work_s, p.tasks) for p in rest.parts] == [(0, 0.1, 0), (2, 0.2, 0)]
    assert rest.alone_s == pytest.approx(20.0)
    apart = replace(tiny, servers=tuple(replace(s, sharing="independent") for s in tiny.servers))
    assert [p.server for p in rest_of(CostModel.of(apart), session).parts] == [-1, -1]


def test_what_is_remembered_of_those_who_run_is_not_the_steps_that_are_left(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    rest = Rest(cost)
    one = Running(servers=(0, 2), work_s=(0.1, 0.2), alone_s=0.5, steps=40.0)
    for running in ([one], [one._replace(steps=39.0), one], [one._replace(alone_s=0.6)], []):
        assert rest(running) == rows_of(rest_of(cost, s) for s in running)


def test_a_line_is_what_a_task_waits_for_now() -> None:
    runs = Course(parts=(Part(server=1, work_s=0.1),), steps=10.0, idle_s=0.3)
    value = Queueing(offered=(), running=rows_of([runs]), wait_s=np.zeros(0), servers=3)
    nobody = np.zeros(0, dtype=np.int64)
    lines = value.lines_s(nobody)
    assert lines.tolist() == pytest.approx([0.0, 0.25 * 0.1 * progress.LEFT, 0.0])


PLAIN = """
import numpy as np
from swarmplan.routing.queueing import Course, Part, Queueing, Rows
parts = (Part(server=0, work_s=0.1, tasks=3, piece_s=0.05, lead_s=0.2), Part(server=1, work_s=0.07))
offered = tuple((Course(parts=parts, steps=10.0 + i, idle_s=0.1 * i),) for i in range(6))
value = Queueing(offered=offered, running=Rows(), wait_s=np.zeros(6), servers=2)
print([x.hex() for x in value.ends_s(np.zeros(6, dtype=np.int64)).tolist()])
"""


def test_compiled_and_plain_give_the_same_floats() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", PLAIN],
            env={**os.environ, "NUMBA_DISABLE_JIT": plain},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for plain in ("0", "1")
    ]
    assert told[0] == told[1]
    assert told[0].count("0x") == 6
