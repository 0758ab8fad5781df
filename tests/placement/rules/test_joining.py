"""Servers that are left idle join."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.soundness import misplaced
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.memory import blocks_that_fit
from swarmplan.placement.rules.joining import all_joined


@given(seed=st.integers(0, 10_000), sessions=st.integers(1, 6))
def test_whoever_hosts_keeps_its_blocks_and_end_and_nobody_with_room_stays_idle(
    make_problem: Callable[..., Problem],
    make_placement: Callable[[np.random.Generator, Problem], Placement],
    seed: int,
    sessions: int,
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    cost, before = CostModel.of(problem), make_placement(rng, problem)
    idle = rng.random(problem.num_servers) < 0.5
    spans = np.where(idle[:, None], 0, np.stack([before.start, before.end], axis=1))
    before = cost.placed([(int(start), int(end)) for start, end in spans])
    after = all_joined(cost, before, sessions)
    assert not any(misplaced(cost, after))
    used, fit = before.num_blocks > 0, blocks_that_fit(cost, sessions)
    assert (after.end == before.end)[used].all()
    assert (after.num_blocks >= before.num_blocks)[used].all()
    assert (after.num_blocks == np.minimum(fit, cost.num_blocks))[~used].all()


def test_those_who_join_take_what_nobody_hosts_first(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    half = cost.num_blocks // 2
    joined = all_joined(cost, cost.placed([(0, 0), (half - 1, half), (0, 0), (0, 0)]), 1)
    hosts = np.zeros(cost.num_blocks, dtype=int)
    for start, end in zip(joined.start, joined.end, strict=True):
        hosts[start:end] += 1
    assert (joined.num_blocks > 0).all()
    assert hosts.min() >= 1
