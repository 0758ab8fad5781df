"""The task engine against a plain replay, against itself as plain Python, and by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from swarmplan.benchmarks.replay import replay, started
from swarmplan.core import names
from swarmplan.core.names import Sharing
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem, Timing
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.petals import PetalsRouting
from swarmplan.simulator import work as work_module
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult
from swarmplan.tests.placement.offline import uneven
from swarmplan.tests.simulator.test_engine import (
    random_placement,
    random_problem,
    random_requests,
)


def shared(
    problem: Problem, rng: np.random.Generator, kinds: tuple[Sharing, ...], *, floors: bool = True
) -> Problem:
    """Servers that share their compute in one of these ways, cut prompts of many lengths, and have
    overheads of their own."""
    servers = tuple(
        replace(
            s,
            sharing=kinds[int(rng.integers(len(kinds)))],
            task_tokens=int(rng.choice([1, 8, 128])),
            timing=curved(s.timing, rng, floors) if isinstance(s.timing, Timing) else s.timing,
            task_overhead_s=float(rng.choice([0.0, 0.003])),
            piece_delay_s=float(rng.choice([0.0, 0.007])),
        )
        for s in problem.servers
    )
    return replace(problem, servers=servers)


def wired(problem: Problem, rng: np.random.Generator) -> Problem:
    """The problem, every other time with links of some bandwidth and states that go in some way."""
    if rng.random() < 0.5:
        return problem
    shape = problem.network.client_rtt_s.shape
    network = replace(
        problem.network,
        client_bandwidth_bytes_per_s=rng.uniform(1e4, 1e6, shape),
        wire_s_per_token=(("uniform_8bit", 0.001),),
    )
    servers = tuple(
        replace(s, wire=str(rng.choice(names.names(names.Wire)))) for s in problem.servers
    )
    return replace(problem, network=network, servers=servers)


def curved(timing: Timing, rng: np.random.Generator, floors: bool = True) -> Timing:
    """The timing, every other time with a curve of its steps, a floor below which none is, or
    prompts that grow with their square."""
    knots = sorted(float(k) for k in rng.uniform(1.5, 12, 2))
    curve = tuple(
        (knot, float(more)) for knot, more in zip(knots, rng.uniform(0, 1e-3, 2), strict=True)
    )
    floor_s = timing.decode_base_s * float(rng.uniform(0.5, 1.5))
    changed = replace(timing, step_curve=curve if rng.random() < 0.5 else ())
    if rng.random() < 0.5:
        changed = replace(changed, prefill_per_token2_s=timing.prefill_per_token_s / 10)
    return replace(changed, decode_floor_s=floor_s) if floors and rng.random() < 0.5 else changed


def simulated(
    seed: int, kinds: tuple[Sharing, ...], *, floors: bool = True, alike: bool = False
) -> tuple[Problem, SimulationResult]:
    """A small swarm with much to do; its blocks may be made alike."""
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    if rng.random() < 0.3 and not alike:
        problem = uneven(problem, rng)
    problem = wired(shared(problem, rng, kinds, floors=floors), rng)
    placement = random_placement(rng, problem)
    router = PetalsRouting()(CostModel.of(problem), placement)
    requests = random_requests(rng, 60)
    return problem, simulate(problem, placement, router, requests, admission="queue")


@given(st.integers(0, 10_000))
def test_every_token_comes_when_a_plain_replay_says_so(seed: int) -> None:
    problem, result = simulated(seed, ("serial", "serial", "independent"))
    sessions = started(result)
    replay(problem, sessions)
    for s in sessions:
        assert result.first_token_s[s.row] == pytest.approx(s.token_s[0], rel=1e-9)
        assert result.finish_s[s.row] == pytest.approx(s.token_s[-1], rel=1e-9)


@given(st.integers(0, 10_000))
def test_servers_that_batch_take_what_a_plain_replay_takes(seed: int) -> None:
    problem, result = simulated(seed, ("batched", "batched", "serial"), alike=True)
    sessions = started(result)
    nearest_s = replay(problem, sessions)
    # Two tasks that come at one instant but for rounding may be taken in either order.
    assume(nearest_s == 0.0 or nearest_s > 1e-11)
    for s in sessions:
        assert result.first_token_s[s.row] == pytest.approx(s.token_s[0], rel=1e-9)
        assert result.finish_s[s.row] == pytest.approx(s.token_s[-1], rel=1e-9)


@given(st.integers(0, 10_000))
def test_no_server_works_more_than_all_the_time_and_no_work_is_lost(seed: int) -> None:
    # Without floors the steps of a request add up to those after its mean context.
    problem, result = simulated(seed, ("serial", "batched"), floors=False)
    assert (result.compute_busy_frac <= 1 + 1e-9).all()
    plain = replace(
        problem, servers=tuple(replace(s, sharing="independent") for s in problem.servers)
    )
    cost = CostModel.of(plain)
    work = np.zeros(problem.num_servers)
    for s in started(result):
        shape = cost.shape(s.client, s.prompt_tokens, s.output_tokens)
        for j, start, end in s.chain:
            server = problem.servers[j]
            pieces = end - start if s.prompt_tokens > server.task_tokens else 1
            tasks = s.output_tokens - 1 + pieces
            work[j] += shape.run_s(j, start, end) + tasks * server.task_overhead_s
    busy = result.compute_busy_frac * result.end_s
    serial = [s.sharing == "serial" for s in problem.servers]
    assert busy[serial] == pytest.approx(work[serial], rel=1e-9)


@given(st.integers(0, 10_000), st.sampled_from([1, 8, 128]))
def test_overheads_of_tasks_make_a_lone_session_as_slow_as_its_chain_says(
    seed: int, task_tokens: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    servers = tuple(
        replace(s, sharing="serial", task_tokens=task_tokens,
                task_overhead_s=0.003 * j, piece_delay_s=0.007 / (1 + j))
        for j, s in enumerate(problem.servers)
    )  # fmt: skip
    problem = replace(problem, servers=servers)
    cost, placement = CostModel.of(problem), random_placement(rng, problem)
    request = replace(random_requests(rng, 1)[0], reserved_tokens=1_000)
    router = PetalsRouting()(cost, placement)
    result = simulate(problem, placement, router, [request], admission="queue")
    route = result.routes[0]
    if route is None:
        return
    shape = cost.shape(request.client, request.prompt_tokens, request.output_tokens)
    alone = cost.route_time(route, shape)
    waited = float(result.start_s[0] - result.arrival_s[0]) + cost.opening_s
    assert result.ttft_s[0] - waited == pytest.approx(alone.ttft_s, rel=1e-9)
    assert result.response_s[0] - waited == pytest.approx(alone.total_s, rel=1e-9)


#: One server with four equal blocks: a step takes 0.2 s, a prompt of 10 tokens 0.4 s.
TIMING = Timing(decode_base_s=0.05, prefill_per_token_s=0.01, decode_per_sequence_s=0.01)


@pytest.fixture
def station(tiny: Problem) -> tuple[Problem, Placement]:
    server = replace(tiny.servers[0], memory_bytes=100_000, timing=TIMING)
    network = replace(
        tiny.network,
        client_rtt_s=np.full((2, 1), 0.1),
        server_rtt_s=np.zeros((1, 1)),
        step_overhead_s=0.0,
        prefill_overhead_s=0.0,
        prefill_overhead_per_token_s=0.0,
        client_bandwidth_bytes_per_s=None,
    )
    model = replace(tiny.model, num_blocks=4)
    problem = replace(tiny, model=model, servers=(server,), network=network, session_setup_s=0.0)
    return problem, CostModel.of(problem).placed([(0, 4)])


def together(
    station: tuple[Problem, Placement],
    count: int,
    output: int,
    *,
    arrivals: Sequence[float] = (),
    **server: object,
) -> SimulationResult:
    """So many requests, at the same instant where no others are given."""
    problem, placement = station
    changed = replace(problem.servers[0], **server)  # type: ignore[arg-type]
    problem = replace(problem, servers=(changed,))
    requests = [
        Request(
            id=i,
            client=0,
            arrival_s=arrivals[i] if arrivals else 0.0,
            prompt_tokens=10,
            output_tokens=output,
            reserved_tokens=40,
        )
        for i in range(count)
    ]
    router = PetalsRouting()(CostModel.of(problem), placement)
    return simulate(problem, placement, router, requests)


def test_prompts_stand_in_line_one_after_the_other(station: tuple[Problem, Placement]) -> None:
    result = together(station, 3, 1)
    assert result.finish_s.tolist() == pytest.approx([0.5, 0.9, 1.3])


def test_prompts_that_are_cut_take_turns_block_by_block(
    station: tuple[Problem, Placement],
) -> None:
    result = together(station, 3, 1, task_tokens=1)
    assert result.finish_s.tolist() == pytest.approx([1.1, 1.2, 1.3])


def test_steps_wait_for_the_steps_of_others(station: tuple[Problem, Placement]) -> None:
    # Prompts end at 0.45 and 0.85 s. The first one's step comes at 0.55 s and waits until 0.85 s,
    # the other's comes at 0.95 s and waits until 1.05 s; so do the next two, until 1.25 and 1.45.
    result = together(station, 2, 3)
    assert result.first_token_s.tolist() == pytest.approx([0.5, 0.9])
    assert result.finish_s.tolist() == pytest.approx([1.5, 1.7])


def test_a_batch_takes_all_steps_that_wait_and_each_costs_a_little(
    station: tuple[Problem, Placement],
) -> None:
    # Prompts end at 0.45, 0.85 and 1.25 s. The step of the first waits behind the prompts from
    # 0.55 s on, that of the second from 0.95 s on: together 0.2 + 4 * 0.01 s.
    result = together(station, 3, 2, sharing="batched")
    assert result.first_token_s.tolist() == pytest.approx([0.5, 0.9, 1.3])
    assert result.finish_s.tolist() == pytest.approx([1.54, 1.54, 1.74])


def test_steps_pass_prompts_that_wait_where_a_pass_runs_anyway(
    station: tuple[Problem, Placement],
) -> None:
    # Prompts of 0.4 s each run from 0.05, 0.45 and 0.85 s on. At 1.25 s there stand in line the
    # step of the first since 0.55 s, the fourth prompt since 0.75 s, the step of the second since
    # 0.95 s: both steps go together, 0.24 s, then the prompt, then the step of the third (since
    # 1.35 s); that of the fourth comes at 1.99 s.
    result = together(station, 4, 2, arrivals=(0.0, 0.01, 0.3, 0.7), sharing="batched")
    assert result.first_token_s.tolist() == pytest.approx([0.5, 0.9, 1.3, 1.94])
    assert result.finish_s.tolist() == pytest.approx([1.54, 1.54, 2.14, 2.34])


def test_independent_servers_work_for_everybody_at_once(
    station: tuple[Problem, Placement],
) -> None:
    result = together(station, 3, 2, sharing="independent", task_tokens=1)
    assert result.finish_s.tolist() == pytest.approx([0.8] * 3)


def test_a_run_that_pauses_often_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = simulated(3, ("serial", "batched"))
    monkeypatch.setattr(work_module, "MOST_EVENTS", 7)
    assert simulated(3, ("serial", "batched"))[1] == whole


SCRIPT = """
import json, sys, warnings
{before}
from swarmplan.tests.simulator.test_tasks import simulated
result = simulated(11, ("serial", "batched", "independent"))[1]
print(json.dumps([t.hex() for t in result.finish_s.tolist()]))
"""


def told(before: str = "", **environment: str) -> tuple[list[str], str]:
    """Instants of a run in a process of its own, to the last bit, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return json.loads(done.stdout), done.stderr


def test_compiled_or_as_plain_python_every_instant_is_equal_to_the_last_bit() -> None:
    _, here = simulated(11, ("serial", "batched", "independent"))
    expected = [t.hex() for t in here.finish_s.tolist()]
    assert told(NUMBA_DISABLE_JIT="1")[0] == expected


def test_without_numba_it_runs_as_python_and_says_so_once() -> None:
    _, here = simulated(11, ("serial", "batched", "independent"))
    found, said = told(before="sys.modules['numba'] = None")
    assert found == [t.hex() for t in here.finish_s.tolist()]
    assert said.count("numba cannot be imported") == 1


def test_where_nothing_can_be_kept_it_compiles_again_and_says_nothing(tmp_path: Path) -> None:
    nowhere = tmp_path / "none"
    nowhere.write_text("a file, no folder")
    found, said = told(
        before="sys.dont_write_bytecode = True", NUMBA_CACHE_DIR=str(nowhere / "below")
    )
    _, here = simulated(11, ("serial", "batched", "independent"))
    assert found == [t.hex() for t in here.finish_s.tolist()]
    assert said == ""


def test_a_batch_costs_what_the_devices_curve_says(station: tuple[Problem, Placement]) -> None:
    # The three steps begin as above; between the knots (1, 0) and (5, 0.1 s) two sequences more
    # cost 0.05 s on each of four blocks, beyond the last knot 0.3 s each.
    curve = replace(TIMING, step_curve=((5.0, 0.1),), decode_per_sequence_s=0.3)
    result = together(station, 3, 2, sharing="batched", timing=curve)
    two = 4 * 0.1 * (2 - 1) / (5 - 1)
    assert result.finish_s.tolist() == pytest.approx([1.5 + two, 1.5 + two, 1.7 + two])
    short = replace(curve, step_curve=((1.5, 0.1),))
    result = together(station, 3, 2, sharing="batched", timing=short)
    two = 4 * (0.1 + 0.3 * (2 - 1.5))
    assert result.finish_s[0] == pytest.approx(1.5 + two)


def test_a_step_takes_at_least_what_launching_it_does(station: tuple[Problem, Placement]) -> None:
    # The prompt's token comes at 0.5 s; the step after it would take 0.2 s and takes 0.4 s, or
    # longer where 11 tokens of context pass the floor.
    floor = replace(TIMING, decode_floor_s=0.1)
    assert together(station, 1, 2, timing=floor).finish_s.tolist() == pytest.approx([1.0])
    sloped = replace(floor, decode_per_context_token_s=0.01)
    result = together(station, 1, 2, timing=sloped)
    assert result.finish_s.tolist() == pytest.approx([0.5 + 0.1 + 4 * (0.05 + 0.11)])


def test_the_overhead_of_a_task_keeps_the_next_one_waiting_and_a_delay_does_not(
    station: tuple[Problem, Placement],
) -> None:
    # Two prompts of 0.4 s in one piece each, then a step of 0.2 s each.
    plain = together(station, 2, 1)
    busy = together(station, 2, 1, task_overhead_s=0.02)
    assert busy.ttft_s - plain.ttft_s == pytest.approx([0.02, 0.04])
    # Cut, four pieces of 0.1 s each: with a turn of 0.1 s, one works while the other is handed on.
    cut = together(station, 2, 1, task_tokens=1)
    turned = together(station, 2, 1, task_tokens=1, piece_delay_s=0.1)
    assert cut.ttft_s == pytest.approx([0.8, 0.9])
    assert turned.ttft_s == pytest.approx([0.9, 1.0])
