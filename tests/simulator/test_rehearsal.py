"""The rehearsal: what it says of a run is what the engine says, to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.names import Sharing
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem, Timing
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.overlap import Overlap
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.rehearsal import Rehearsal, can_rehearse
from swarmplan.simulator.result import SimulationResult
from swarmplan.tests.simulator.test_engine import (
    random_placement,
    random_problem,
    random_requests,
)
from swarmplan.tests.simulator.test_tasks import curved

Case = tuple[CostModel, Placement, tuple[Request, ...]]


def case_of(seed: int) -> Case:
    """Some servers of any sharing and any timing, a placement, and requests that may outlast what
    is expected."""
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, sharing="serial")
    ways: tuple[Sharing, ...] = ("serial", "serial", "batched", "independent")
    servers = tuple(
        replace(
            s,
            sharing=ways[rng.integers(4)],
            task_overhead_s=float(rng.choice([0.0, 0.003])),
            piece_delay_s=float(rng.choice([0.0, 0.002])),
            timing=curved(s.timing, rng),
        )
        for s in problem.servers
        if isinstance(s.timing, Timing)
    )
    problem = replace(problem, servers=servers)
    requests = tuple(
        replace(
            r,
            reserved_tokens=r.reserved_tokens + int(rng.integers(0, 20)),
            expected_tokens=int(rng.integers(1, 40)) if rng.random() < 0.5 else None,
        )
        for r in random_requests(rng, int(rng.integers(1, 40)))
    )
    return CostModel.of(problem), random_placement(rng, problem), requests


def simulated(case: Case) -> SimulationResult:
    cost, placement, requests = case
    return simulate(cost.problem, placement, Overlap(cost, placement), requests)


@given(st.integers(0, 2**32 - 1))
def test_every_request_has_its_first_token_and_its_end_when_the_engine_says(seed: int) -> None:
    cost, placement, requests = case = case_of(seed)
    assert can_rehearse(cost, requests)
    found, known = Rehearsal(cost, requests)(placement), simulated(case)
    assert found.whole
    order = np.argsort(known.arrival_s, kind="stable")
    np.testing.assert_array_equal(found.response_s, known.response_s[order])
    np.testing.assert_array_equal(found.ttft_s, known.ttft_s[order])


def test_one_rehearsal_serves_many_placements() -> None:
    cost, placement, requests = case_of(5)
    rehearsal = Rehearsal(cost, requests)
    first = rehearsal(placement)
    rehearsal(random_placement(np.random.default_rng(1), cost.problem))
    assert rehearsal(placement) == first


def test_ages_are_the_time_that_everybody_has_spent_in_the_swarm_so_far() -> None:
    cost, placement, requests = case_of(5)
    found = Rehearsal(cost, requests)(placement)
    came = np.array(sorted(r.arrival_s for r in requests))
    gone = came + np.nan_to_num(found.response_s)
    for i, now in enumerate(came):
        here = np.minimum(gone[: i + 1], now) - came[: i + 1]
        assert found.ages_s[i] == pytest.approx(here.sum())


def test_a_run_is_broken_off_once_its_requests_have_spent_too_long() -> None:
    cost, placement, requests = case_of(5)
    rehearsal = Rehearsal(cost, requests)
    whole = rehearsal(placement)
    half = rehearsal(placement, whole.ages_s / 2 + 1e-9)
    assert not half.whole
    assert rehearsal(placement, whole.ages_s).whole


def test_requests_that_outgrow_their_reservation_are_not_rehearsed(tiny: Problem) -> None:
    request = Request(
        id=0, client=0, arrival_s=0.0, prompt_tokens=5, output_tokens=5, reserved_tokens=9
    )
    assert not can_rehearse(CostModel.of(tiny), [request])


SCRIPT = """
import json
from swarmplan.simulator.rehearsal import Rehearsal
from swarmplan.tests.simulator.test_rehearsal import case_of
cost, placement, requests = case_of(11)
print(json.dumps([t.hex() for t in Rehearsal(cost, requests)(placement).response_s.tolist()]))
"""


def test_compiled_or_as_plain_python_it_is_equal_to_the_last_bit() -> None:
    cost, placement, requests = case_of(11)
    here = [t.hex() for t in Rehearsal(cost, requests)(placement).response_s.tolist()]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    assert json.loads(done.stdout) == here
