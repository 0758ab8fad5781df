"""Prompts in chunks beside the steps of others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import Problem, Timing
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.petals import PetalsRouting
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult
from swarmplan.tests.placement.offline import uneven
from swarmplan.tests.simulator.plain import told
from swarmplan.tests.simulator.test_engine import (
    random_placement,
    random_problem,
    random_requests,
)
from swarmplan.tests.simulator.test_pipeline import pipeline, run
from swarmplan.tests.simulator.test_tasks import curved


def chunked(problem: Problem, tokens: int, prompts: int = 0) -> Problem:
    servers = tuple(replace(s, chunk_tokens=tokens, batch_prompts=prompts) for s in problem.servers)
    return replace(problem, servers=servers)


def lines(tiny: Problem, tokens: int, prompts: int = 0) -> Problem:
    """The pipeline of ``test_pipeline``, with prompts that take 10 ms a token and block."""
    problem = pipeline(tiny, prompts=0, rate=np.inf)
    timing = Timing(decode_base_s=0.010, prefill_per_token_s=0.010)
    servers = tuple(replace(s, timing=timing) for s in problem.servers)
    return chunked(replace(problem, servers=servers), tokens, prompts)


def test_a_long_prompt_holds_up_steps_for_a_chunk_at_a_time(tiny: Problem) -> None:
    # A prompt of 10 tokens takes 0.3 s at a stage, a step 30 ms, the way between them 20 ms, from
    # and to the client 10 ms. The first one's token is there at 0.64 s; its step comes at 0.65 s,
    # when the second prompt has been worked on since 0.55 s (it was sent at 0.54 s).
    whole = run(lines(tiny, 0), (0.0, 0.54), tokens=2)
    # The step follows it to the second stage, where the prompt is worked on until 1.17 s.
    assert whole.finish_s[0] == pytest.approx(1.17 + 0.030 + 0.010)
    # In chunks of 2 tokens, 60 ms each: one is done at 0.67 s, and the step goes with the next one,
    # both in 90 ms, until 0.76 s; then it is alone at the second stage from 0.78 s on.
    parts = run(lines(tiny, 2), (0.0, 0.54), tokens=2)
    assert parts.first_token_s[0] == pytest.approx(0.64)
    assert parts.finish_s[0] == pytest.approx(0.78 + 0.030 + 0.010)
    # At the first stage the prompt has ended 30 ms later than it would have; at the second one it
    # meets the step of nobody.
    alone = run(lines(tiny, 2), (0.0,), tokens=1)
    assert parts.ttft_s[1] == pytest.approx(alone.ttft_s[0] + 0.030)


def test_chunks_of_several_prompts_fill_a_batch_in_order(tiny: Problem) -> None:
    # Three prompts of 10 tokens at once: the first is taken as it comes, 10 of its tokens; then
    # 15 of the two others, 0.45 s, of which the last has 5 to go, 0.15 s.
    found = run(lines(tiny, 15), (0.0, 0.0, 0.0), tokens=1)
    first, second, third = 0.31, 0.31 + 0.45, 0.31 + 0.45 + 0.15
    at_second = [t + 0.020 for t in (first, second, third)]
    ends = [at_second[0] + 0.3, at_second[1] + 0.3, max(at_second[1] + 0.3, at_second[2]) + 0.3]
    assert np.sort(found.ttft_s) == pytest.approx([e + 0.010 for e in ends])


def test_no_more_prompts_than_said_share_a_chunk(tiny: Problem) -> None:
    one = run(lines(tiny, 100, prompts=1), (0.0, 0.0, 0.0), tokens=1)
    assert np.sort(one.ttft_s) == pytest.approx([0.640, 0.940, 1.240])


def simulated(seed: int, *, count: int = 40, tokens: int | None = None) -> tuple[
    Problem, SimulationResult
]:  # fmt: skip
    """A small swarm in which servers work on prompts in chunks, of many lengths or one."""
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    if rng.random() < 0.3:
        problem = uneven(problem, rng)
    servers = tuple(
        replace(
            s,
            sharing="batched",
            chunk_tokens=int(rng.choice([1, 3, 16])) if tokens is None else tokens,
            task_overhead_s=float(rng.choice([0.0, 0.003])),
            timing=curved(s.timing, rng) if isinstance(s.timing, Timing) else s.timing,
        )
        for s in problem.servers
    )
    problem = replace(problem, servers=servers)
    placement, requests = random_placement(rng, problem), random_requests(rng, count)
    router = PetalsRouting()(CostModel.of(problem), placement)
    return problem, simulate(problem, placement, router, requests, admission="queue")


@given(st.integers(0, 10_000))
def test_one_session_alone_takes_what_the_cost_model_says(seed: int) -> None:
    problem, found = simulated(seed, count=1)
    route = found.routes[0]
    if route is None:
        return
    cost = CostModel.of(problem)
    asked = int(found.client[0]), int(found.prompt_tokens[0]), int(found.output_tokens[0])
    said = cost.route_time(route, cost.shape(*asked))
    waited = float(found.start_s[0] - found.arrival_s[0]) + cost.opening_s
    assert found.ttft_s[0] - waited == pytest.approx(said.ttft_s, rel=1e-9)


@given(st.integers(0, 10_000))
def test_everybody_is_served_and_nobody_works_all_the_time_and_more(seed: int) -> None:
    _, found = simulated(seed)
    ended = np.array([s in ("completed", "rejected") for s in found.status])
    assert ended.all()
    assert (found.made[found.done] == found.output_tokens[found.done]).all()
    assert (found.compute_busy_frac <= 1 + 1e-9).all()
    bound = found.most_per_s
    span = found.end_s - float(found.arrival_s.min())
    assert found.done.sum() / span <= bound * (1 + 1e-9)


@given(st.integers(0, 10_000))
def test_a_chunk_that_holds_the_prompt_is_the_prompt(seed: int) -> None:
    _, chunk = simulated(seed, count=1, tokens=10_000)
    problem, whole = simulated(seed, count=1, tokens=0)
    if all(chunk.prompt_tokens[0] <= s.task_tokens for s in problem.servers):
        assert chunk.finish_s[0] == whole.finish_s[0] or chunk.status[0] == "rejected"


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 10_000))
def test_no_way_to_cut_a_prompt_takes_less_than_the_bound(
    tokens: int, most: int, seed: int
) -> None:
    from swarmplan.perfmodel.chunks import least_prompt_s, table_s
    from swarmplan.perfmodel.timing import Timings

    rng = np.random.default_rng(seed)
    timing = curved(Timing(decode_base_s=1e-3, prefill_base_s=1e-3, prefill_per_token_s=1e-4), rng)
    each, left, total = table_s(timing, most), tokens, 0.0
    while left:
        part = int(rng.integers(1, min(left, most) + 1))
        before = tokens - left
        total += float(each[part]) + 2 * before * part * timing.prefill_per_token2_s
        left -= part
    least = float(least_prompt_s(Timings.of([timing]), tokens, most)[0])
    assert least <= total * (1 + 1e-9)


SCRIPT = """
import json
from swarmplan.tests.simulator.test_chunks import simulated
found = [simulated(seed)[1].finish_s.tolist() for seed in (1, 2, 3, 8)]
print(json.dumps([[x.hex() for x in each] for each in found]))
"""


def test_compiled_or_as_plain_python_chunks_are_equal_to_the_last_bit() -> None:
    assert told(SCRIPT) == told(SCRIPT, NUMBA_DISABLE_JIT="1")
