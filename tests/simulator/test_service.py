"""How requests were served, recomputed by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from swarmplan.chains.knapsack import least_responses_s
from swarmplan.core.problem import Deadlines, Problem
from swarmplan.core.workload import Request
from swarmplan.methods.draft import Settings
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import cg_bp
from swarmplan.routing.overlap import Overlap
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import summarise
from swarmplan.simulator.service import Service, Yardstick


def requests(problem: Problem) -> list[Request]:
    """Some of several lengths, the clients in turn; one of a single token."""
    return [
        Request(
            id=i,
            client=i % len(problem.clients),
            arrival_s=0.3 * i,
            prompt_tokens=10,
            output_tokens=1 + 3 * i,
            reserved_tokens=44,
        )
        for i in range(12)
    ]


def test_each_figure_is_what_its_name_says(tiny: Problem) -> None:
    limits = Deadlines(first_token_s=0.4, token_s=0.05)
    problem = replace(tiny, planning=replace(tiny.planning, deadlines=limits))
    cost, asked = CostModel.of(problem), requests(problem)
    placement = cg_bp(Settings().task(problem, "latency"))
    result = simulate(problem, placement, Overlap(cost, placement), asked)
    found = summarise(result, by=Yardstick.of(cost, asked)).service
    slow = result.response_s / least_responses_s(cost, asked)
    assert (slow >= 1.0 - 1e-9).all()
    assert found.slow_down.mean == pytest.approx(slow.mean())
    late = []
    for i, request in enumerate(asked):
        first = max(0.0, float(result.ttft_s[i]) - 0.4)
        steps = request.output_tokens - 1
        each = float(result.finish_s[i] - result.first_token_s[i]) / steps if steps else 0.0
        late.append(first + steps * max(0.0, each - 0.05))
    assert found.late_s == pytest.approx(np.mean(late))
    assert found.on_time_share == pytest.approx(np.mean([x == 0.0 for x in late]))
    clients = {r.client for r in asked}
    means = [
        np.mean([float(result.response_s[i]) for i, r in enumerate(asked) if r.client == c])
        for c in clients
    ]
    assert found.fair_response_s == pytest.approx(math.prod(means) ** (1 / len(means)))
    assert found.worst_response_s == pytest.approx(max(means))


def test_what_nobody_said_is_not_known(tiny: Problem) -> None:
    cost, asked = CostModel.of(tiny), requests(tiny)
    placement = cg_bp(Settings().task(tiny, "latency"))
    result = simulate(tiny, placement, Overlap(cost, placement), asked)
    found = summarise(result).service
    assert math.isnan(found.slow_down.mean)
    assert math.isnan(found.late_s)
    assert math.isnan(found.on_time_share)
    assert found.fair_response_s > 0
    nothing = Service()
    assert math.isnan(nothing.fair_response_s)
