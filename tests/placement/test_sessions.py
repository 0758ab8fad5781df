"""How many sessions a placement is made for."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.errors import HeuristicFailedError, InfeasibleError, SwarmplanWarning
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.latency import route_time
from swarmplan.perfmodel.memory import max_sessions
from swarmplan.placement.rules.cg_bp import place_blocks
from swarmplan.placement.sessions import require_memory, target_sessions, unloaded_response_s

Make = Callable[..., Problem]


def chains(placement: Placement, length: int, at: int = 0) -> Iterator[tuple[Hop, ...]]:
    """Every chain from ``at`` to the end."""
    if at == length:
        yield ()
        return
    for j in range(len(placement.start)):
        start, end = int(placement.start[j]), int(placement.end[j])
        if start <= at < end:
            for rest in chains(placement, length, end):
                yield (Hop(server=j, start=at, end=end), *rest)


@given(seed=st.integers(0, 10**6), rates=st.tuples(st.floats(0, 50), st.floats(0, 50)))
def test_r_follows_the_load_of_the_fastest_lone_requests(
    make_problem: Make, seed: int, rates: tuple[float, float]
) -> None:
    problem = make_problem(np.random.default_rng(seed))
    classes = tuple(
        dataclasses.replace(k, rate_per_s=r)
        for k, r in zip(problem.workload.classes, rates, strict=True)
    )
    problem = dataclasses.replace(
        problem, workload=dataclasses.replace(problem.workload, classes=classes)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmplanWarning)
        try:
            found = target_sessions(CostModel.of(problem))
        except (InfeasibleError, HeuristicFailedError):
            return
        alone = place_blocks(CostModel.of(problem), 1, capped=False)
    total, busy = sum(rates), 0.0
    for client, rate in enumerate(rates):
        every = [Route(hops=hops) for hops in chains(alone, 6)]
        best = min(route_time(problem, client, r, 10, 9).total_s for r in every)
        lone = best + problem.session_setup_s
        assert unloaded_response_s(CostModel.of(problem), alone, client) == pytest.approx(
            lone, rel=1e-12
        )
        busy += rate * lone
    wanted = busy + math.sqrt(busy)
    assert 1 <= found <= max(1, max_sessions(CostModel.of(problem)))
    if total > 0 and found < max_sessions(CostModel.of(problem)):
        assert found == max(1, math.floor(wanted + 0.5)) or abs(wanted % 1 - 0.5) < 1e-6


def test_the_planning_figure_wins(tiny: Problem) -> None:
    assert target_sessions(CostModel.of(tiny)) == 2


def test_missing_memory_is_a_proof_and_says_how_much(tiny: Problem) -> None:
    servers = tuple(dataclasses.replace(s, memory_bytes=2_500) for s in tiny.servers[:2])
    network = dataclasses.replace(
        tiny.network,
        client_rtt_s=tiny.network.client_rtt_s[:, :2],
        server_rtt_s=tiny.network.server_rtt_s[:2, :2],
    )
    short = dataclasses.replace(tiny, servers=servers, network=network)
    with pytest.raises(InfeasibleError, match=r"host 4 of the 6 blocks .* 2 blocks are missing"):
        require_memory(CostModel.of(short))
    require_memory(CostModel.of(tiny))
