"""Servers read as one: never better than the worst of them, never worse than the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import Problem, Timing, per_block
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.groups import levelled_servers, spreads_s
from swarmplan.tests.placement.offline import uneven

Make = Callable[..., Problem]
NAMES = tuple(f.name for f in fields(Timing))


def swarm(make_problem: Make, seed: int, unequal: bool) -> Problem:
    """Servers that differ in memory, weights, limits and times."""
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    if unequal:
        problem = uneven(problem, rng)
    limits = [None if rng.random() < 0.3 else int(rng.integers(1, 6)) for _ in problem.servers]
    servers = (replace(s, max_blocks=m) for s, m in zip(problem.servers, limits, strict=True))
    return replace(problem, servers=tuple(servers))


@given(seed=st.integers(0, 10**6), unequal=st.booleans(), best=st.booleans())
def test_a_levelled_server_has_the_worst_or_the_best_figure_of_its_group(
    make_problem: Make, seed: int, unequal: bool, best: bool
) -> None:
    members = swarm(make_problem, seed, unequal).servers
    made = levelled_servers(members, "best" if best else "worst", 6)[0]
    slow: Callable[..., Any] = min if best else max
    large: Callable[..., Any] = max if best else min
    assert made.id == members[0].id
    assert made.memory_bytes == large(m.memory_bytes for m in members)
    limits = [6 if m.max_blocks is None else m.max_blocks for m in members]
    assert (6 if made.max_blocks is None else made.max_blocks) == large(limits)
    for b in range(6):
        weights = [per_block(m.block_bytes, 6)[b] for m in members]
        assert per_block(made.block_bytes, 6)[b] == slow(weights)
        for name in NAMES:
            times = [getattr(per_block(m.timing, 6)[b], name) for m in members]
            assert getattr(per_block(made.timing, 6)[b], name) == slow(times)


def test_a_group_of_one_is_the_server_itself(tiny: Problem) -> None:
    for server in tiny.servers:
        assert levelled_servers([server], "worst", 6) == [server]
        assert levelled_servers([server], "best", 6) == [server]


def test_a_level_is_found_once_for_all_members_of_a_group(tiny: Problem) -> None:
    # Thousands of servers with curves of dozens of knots: found for each it takes minutes.
    members = tuple(replace(s, timing=(s.timing,) * 6) for s in tiny.servers)  # type: ignore[arg-type]
    made = levelled_servers(members, "worst", 6)
    assert [m.id for m in made] == [s.id for s in tiny.servers]
    assert all(m.timing is made[0].timing for m in made)


def test_the_spreads_of_a_group_are_those_of_hops_and_blocks(tiny: Problem) -> None:
    # Hops of the first two servers: 20 and 10 ms near, 120 and 150 ms far; blocks 2 and 10 ms.
    hop, block = spreads_s(CostModel.of(tiny), np.array([0, 1]))
    assert (hop, block) == pytest.approx((0.030, 0.008))
    assert spreads_s(CostModel.of(tiny), np.array([2])) == (0.0, 0.0)


def test_blocks_are_compared_after_the_whole_request(tiny: Problem) -> None:
    # 11 prompt and 11 output tokens, at 1 ms each on the second server.
    slow = Timing(decode_base_s=0.002, decode_per_context_token_s=0.001)
    servers = (tiny.servers[0], replace(tiny.servers[1], timing=slow), *tiny.servers[2:])
    cost = CostModel.of(replace(tiny, servers=servers))
    assert spreads_s(cost, np.array([0, 1]))[1] == pytest.approx(0.022)
