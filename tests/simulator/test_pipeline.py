"""Pipelines: servers hand prompts on, links carry one transfer at a time, batches are mixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swarmplan.core.plan import Hop, Route
from swarmplan.core.problem import Problem, Timing
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.api import Decision
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult
from swarmplan.tests.simulator.plain import told

#: Work of a block: a prompt, a step of one sequence, each further one.
PROMPT_S, STEP_S, ROW_S = 0.100, 0.010, 0.001
ROUTE = Route(hops=(Hop(server=0, start=0, end=3), Hop(server=1, start=3, end=6)))


class Fixed:
    """Everybody takes the same chain."""

    def __call__(self, *asked: object, **more: object) -> Decision:
        return Decision(route=ROUTE, cost_s=0.0)


def pipeline(tiny: Problem, *, prompts: int, rate: float = 12_800.0) -> Problem:
    """Two stages of three blocks, 20 ms from each other and 10 ms from the client, a thin link."""
    timing = Timing(decode_base_s=STEP_S, decode_per_sequence_s=ROW_S, prefill_base_s=PROMPT_S)
    servers = tuple(
        replace(
            s,
            timing=timing,
            sharing="batched",
            batch_prompts=prompts,
            task_tokens=1_000,
            memory_bytes=10**6,
        )
        for s in tiny.servers[:2]
    )
    network = replace(
        tiny.network,
        client_rtt_s=np.full((2, 2), 0.020),
        server_rtt_s=np.array([[0.0, 0.040], [0.040, 0.0]]),
        step_overhead_s=0.0,
        prefill_overhead_s=0.0,
        relay="pipeline",
        server_bandwidth_bytes_per_s=np.array([[np.inf, rate], [rate, np.inf]]),
    )
    return replace(tiny, servers=servers, network=network)


def run(problem: Problem, arrivals: tuple[float, ...], tokens: int = 3) -> SimulationResult:
    cost = CostModel.of(problem)
    requests = [
        Request(
            id=i,
            client=0,
            arrival_s=at,
            prompt_tokens=10,
            output_tokens=tokens,
            reserved_tokens=10 + tokens,
        )
        for i, at in enumerate(arrivals)
    ]
    placement = cost.placed([(0, 3), (3, 6)])
    return simulate(problem, placement, Fixed(), requests, admission="queue")


def test_a_lone_session_goes_from_server_to_server_and_over_the_link(tiny: Problem) -> None:
    problem = pipeline(tiny, prompts=0)
    found = run(problem, (0.0,))
    # 10 tokens of 128 bytes over 12.8 kB/s take 100 ms, one takes 10.
    first = 0.010 + 3 * PROMPT_S + 0.100 + 0.020 + 3 * PROMPT_S + 0.010
    step = 0.010 + 3 * STEP_S + 0.010 + 0.020 + 3 * STEP_S + 0.010
    assert found.ttft_s[0] == pytest.approx(first)
    assert found.response_s[0] == pytest.approx(first + 2 * step)
    cost = CostModel.of(problem)
    alone = cost.route_time(ROUTE, cost.shape(0, 10, 3))
    assert found.response_s[0] == pytest.approx(alone.total_s)
    assert found.ttft_s[0] == pytest.approx(alone.ttft_s)


def test_a_transfer_waits_for_those_before_it_on_its_link(tiny: Problem) -> None:
    slow = pipeline(tiny, prompts=2, rate=1_280.0)  # a prompt takes a second
    found = run(slow, (0.0, 0.0))
    assert found.ttft_s[0] == pytest.approx(0.010 + 0.3 + 1.0 + 0.020 + 0.3 + 0.010)
    assert found.ttft_s[1] - found.ttft_s[0] == pytest.approx(1.0)
    free = pipeline(tiny, prompts=2, rate=np.inf)
    both = run(free, (0.0, 0.0))
    assert both.ttft_s[1] - both.ttft_s[0] == pytest.approx(3 * PROMPT_S)


def test_prompts_beside_steps_make_one_batch_up_to_a_number(tiny: Problem) -> None:
    # Three prompts come together: one at a time, or two and then one.
    alone = run(pipeline(tiny, prompts=1, rate=np.inf), (0.0, 0.0, 0.0), tokens=1)
    assert np.sort(alone.ttft_s) == pytest.approx([0.640, 0.940, 1.240])
    pairs = run(pipeline(tiny, prompts=2, rate=np.inf), (0.0, 0.0, 0.0), tokens=1)
    # The first is taken as it comes, the two behind it together; so again at the next server.
    assert np.sort(pairs.ttft_s) == pytest.approx([0.640, 1.240, 1.540])


def test_a_step_that_shares_a_batch_with_a_prompt_takes_as_long_as_both(tiny: Problem) -> None:
    problem = pipeline(tiny, prompts=1, rate=np.inf)
    alone = run(problem, (0.0,), tokens=2)
    step = alone.finish_s[0] - alone.first_token_s[0]
    # A second prompt stands at the first server while the step waits there behind a third one.
    busy = run(problem, (0.0, 0.35, 0.36), tokens=2)
    late = busy.finish_s[0] - busy.first_token_s[0]
    assert late > step + 3 * PROMPT_S - 1e-9
    assert busy.compute_busy_frac.max() <= 1 + 1e-9


SCRIPT = """
import json, sys
from swarmplan.tests.conftest import *
from swarmplan.tests.simulator.test_pipeline import pipeline, run
problem = tiny.__wrapped__() if hasattr(tiny, "__wrapped__") else tiny.__pytest_wrapped__.obj()
found = run(pipeline(problem, prompts=2, rate=5_000.0), tuple(0.05 * i for i in range(9)), tokens=6)
print(json.dumps([x.hex() for x in found.finish_s.tolist()]))
"""


def test_compiled_or_as_plain_python_pipelines_are_equal_to_the_last_bit() -> None:
    assert told(SCRIPT) == told(SCRIPT, NUMBA_DISABLE_JIT="1")
