"""The ordered line: short work first, nobody starves, and who floods waits for the others."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.admission import Rule
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.line import Ordered
from swarmplan.tests.simulator.test_engine import (
    random_placement,
    random_problem,
    random_requests,
)


def starts(tiny: Problem, rule: Rule, *asked: tuple[float, int, int]) -> list[float]:
    """Starts of (arrival, client, tokens) on one server with room for 100 tokens."""
    servers = tuple(replace(s, sharing="independent") for s in tiny.servers)
    near = np.repeat(tiny.network.client_rtt_s[:1], 2, axis=0)  # both clients alike
    network = replace(tiny.network, client_rtt_s=near)
    problem = replace(tiny, servers=servers, network=network)
    cost = CostModel.of(problem)
    pool = int(cost.cache_bytes(100, 0, 6))
    placement = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)], cache_bytes=[pool, 0, 0, 0])
    requests = [
        Request(
            id=i,
            client=client,
            arrival_s=arrival,
            prompt_tokens=10,
            output_tokens=tokens - 10,
            reserved_tokens=tokens,
        )
        for i, (arrival, client, tokens) in enumerate(asked)
    ]
    result = simulate(problem, placement, WsRr(cost, placement), requests, admission=rule)
    assert set(result.status) == {"completed"}
    found: list[float] = result.start_s.tolist()
    return found


def test_short_work_goes_first(tiny: Problem) -> None:
    found = starts(tiny, Ordered(), (0.0, 0, 90), (0.1, 0, 80), (0.2, 0, 30))
    assert found[0] == 0.0
    assert found[2] < found[1]


def test_who_fits_may_overtake(tiny: Problem) -> None:
    # The short ones leave no room for a second long one, and come and go while it waits.
    found = starts(tiny, Ordered(), (0.0, 0, 60), (0.1, 0, 90), (0.2, 0, 40))
    assert found[2] == pytest.approx(0.2)
    assert found[1] > found[2]


def test_behind_one_whose_patience_is_at_its_end_nobody_is_tried(tiny: Problem) -> None:
    stream = [(0.05 * i, 0, 40) for i in range(60)]
    patient = starts(tiny, Ordered(), (0.0, 0, 90), (0.01, 0, 90), *stream)
    hasty = starts(tiny, Ordered(patience_s=0.5), (0.0, 0, 90), (0.01, 0, 90), *stream)
    assert hasty[1] < patient[1]
    assert patient[1] == max(patient)


def test_who_floods_waits_for_those_who_come_after(tiny: Problem) -> None:
    flood = [(0.0, 0, 90)] * 10
    found = starts(tiny, Ordered(), *flood, (0.1, 1, 90), (0.2, 1, 90))
    alike = starts(tiny, Ordered(overshare=0.0), *flood, (0.1, 1, 90), (0.2, 1, 90))
    # Level with the flooder when they come: one more of its own, then theirs.
    assert sorted(found)[2] == found[10]
    assert sorted(found)[4] == found[11]
    assert alike[10] == sorted(alike)[10]


def test_who_was_away_has_no_claim_on_what_others_were_served(tiny: Problem) -> None:
    # Client 0 alone for long; then both at once: they take turns from there on.
    before = [(float(20 * i), 0, 90) for i in range(5)]
    both = [(200.0, client, 90) for client in (0, 1) for _ in range(4)]
    found = starts(tiny, Ordered(), *before, *both)
    order = [int(i >= 9) for i in np.argsort(found[5:], kind="stable") + 5]
    assert 1 <= sum(order[:4]) <= 3


@given(seed=st.integers(0, 5_000))
def test_everybody_is_served_whom_a_queue_serves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    placement, requests = random_placement(rng, problem), random_requests(rng, 30)
    cost = CostModel.of(problem)
    served = [
        simulate(problem, placement, WsRr(cost, placement), requests, admission=rule).status
        for rule in ("queue", "ordered")
    ]
    assert [s == "completed" for s in served[0]] == [s == "completed" for s in served[1]]
