"""The tasks of a session on a chain add up to what the chain costs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.names import Relay, Sharing
from swarmplan.core.plan import Hop, Route
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.tests.placement.offline import uneven

CHAIN = Route(
    hops=(
        Hop(server=0, start=0, end=2),
        Hop(server=1, start=2, end=3),
        Hop(server=2, start=3, end=6),
    )
)


@given(st.integers(0, 1000), st.sampled_from(["client", "server"]), st.integers(1, 40))
def test_a_pass_takes_what_the_chain_costs(
    make_problem: Callable[..., Problem], seed: int, relay: Relay, prompt: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=3, clients=2, length=6, relay=relay)
    if seed % 2:
        problem = uneven(problem, rng)
    cost = CostModel.of(problem)
    tasks = cost.tasks(CHAIN, 1, prompt)
    shape = cost.shape(1, prompt, 9)
    time = cost.route_time(CHAIN, shape)
    first = tasks.first_gap_s.sum() + tasks.prompt_s.sum() + tasks.back_s[-1]
    assert first == pytest.approx(time.ttft_s, rel=1e-12)
    leave_s = np.cumsum(tasks.gap_s + tasks.step_s(prompt + 0.5 * 9))
    assert (leave_s + tasks.back_s).max() == pytest.approx(time.tpot_s, rel=1e-12)


@given(st.integers(0, 1000), st.sampled_from(["client", "server"]), st.integers(1, 40))
def test_the_overheads_of_tasks_are_work_and_their_turns_are_delay(
    make_problem: Callable[..., Problem], seed: int, relay: Relay, prompt: int
) -> None:
    plain = make_problem(np.random.default_rng(seed), servers=3, clients=2, length=6, relay=relay)
    servers = tuple(replace(s, task_tokens=20) for s in plain.servers)
    plain = replace(plain, servers=servers)
    busy = replace(plain, servers=tuple(
        replace(s, task_overhead_s=0.1, piece_delay_s=0.01) for s in servers
    ))  # fmt: skip
    before, after = (CostModel.of(p).tasks(CHAIN, 1, prompt) for p in (plain, busy))
    pieces = np.array([2, 1, 3]) if prompt > 20 else np.ones(3)
    np.testing.assert_allclose(after.base_s - before.base_s, 0.1)
    np.testing.assert_allclose(after.prompt_s - before.prompt_s, 0.1 * pieces)
    np.testing.assert_allclose(after.gap_s, before.gap_s)
    turn_s = 0.01 if prompt > 20 else 0.0
    np.testing.assert_allclose(after.first_gap_s - before.first_gap_s, turn_s, atol=1e-12)
    times = [CostModel.of(p).route_time(CHAIN, CostModel.of(p).shape(1, prompt, 9))
             for p in (plain, busy)]  # fmt: skip
    added = 0.1 * pieces.sum() + turn_s * pieces.sum()
    assert times[1].ttft_s - times[0].ttft_s == pytest.approx(added)


@pytest.mark.parametrize(
    ("sharing", "prompt", "cut"),
    [
        ("serial", 10, [0, 0, 0]),
        ("serial", 11, [1, 0, 1]),
        ("batched", 11, [1, 0, 1]),
        ("independent", 11, [0, 0, 0]),
    ],
)
def test_prompts_longer_than_a_task_are_cut_where_there_is_a_line(
    tiny: Problem, sharing: Sharing, prompt: int, cut: list[int]
) -> None:
    servers = tuple(replace(s, sharing=sharing, task_tokens=10) for s in tiny.servers)
    cost = CostModel.of(replace(tiny, servers=servers))
    tasks = cost.tasks(CHAIN, 0, prompt)
    assert tasks.cut.tolist() == cut
    for hop, whole in zip(CHAIN.hops, tasks.prompt_s, strict=True):
        pieces = tasks.piece_s[hop.start : hop.end]
        assert pieces.sum() == pytest.approx(whole if cut[hop.server] else 0.0)
