"""Cache by pages: sessions hold what they have made, and the newest makes room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.chains.capacity import most_per_s
from swarmplan.core.names import Relay
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Mix, Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.fluid import fluid
from swarmplan.routing.petals import PetalsRouting
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult
from swarmplan.tests.simulator.test_engine import (
    random_placement,
    random_problem,
    random_requests,
)
from swarmplan.tests.simulator.test_pipeline import ROW_S, pipeline, run
from swarmplan.tests.simulator.test_uplinks import shared


def paged(problem: Problem, page_tokens: int, chunk_tokens: int = 0) -> Problem:
    servers = tuple(
        replace(s, sharing="batched", page_tokens=page_tokens, chunk_tokens=chunk_tokens)
        for s in problem.servers
    )
    return replace(problem, servers=servers)


def small(tiny: Problem, page_tokens: int, tokens: int) -> Problem:
    """The pipeline of ``test_pipeline`` with cache for so many tokens at each stage."""
    problem = pipeline(tiny, prompts=1, rate=np.inf)
    servers = tuple(replace(s, memory_bytes=3_000 + 3 * 10 * tokens) for s in problem.servers)
    return paged(replace(problem, servers=servers), page_tokens)


def test_sessions_hold_pages_of_what_they_have_made(tiny: Problem) -> None:
    # Each is 10 + 6 tokens long: at once 32 are taken, by pages of 4 at first 12.
    whole = run(small(tiny, 0, 40), (0.0, 0.0), tokens=6)
    parts = run(small(tiny, 4, 40), (0.0, 0.0), tokens=6)
    assert parts.finish_s.tolist() == whole.finish_s.tolist()
    assert whole.peak_cache_bytes.tolist() == [32 * 3 * 10] * 2
    assert parts.peak_cache_bytes.tolist() == [32 * 3 * 10] * 2
    assert (parts.cache_used_frac < whole.cache_used_frac).all()
    assert parts.replays.sum() == parts.overflows.sum() == 0
    # In 28 tokens two begin together that could not end together.
    held = run(small(tiny, 0, 28), (0.0, 0.0), tokens=6)
    assert held.start_s[1] == pytest.approx(held.finish_s[0])
    both = run(small(tiny, 4, 28), (0.0, 0.0), tokens=6)
    assert both.start_s.tolist() == [0.0, 0.0]
    assert both.peak_cache_bytes.max() <= 28 * 3 * 10


def test_the_newest_makes_room_and_what_it_made_is_sent_again(tiny: Problem) -> None:
    found = run(small(tiny, 4, 28), (0.0, 0.0), tokens=6)
    assert found.replays.tolist() == [0, 1]
    assert found.made.tolist() == [6, 6]
    alone = run(small(tiny, 4, 28), (0.0,), tokens=6)
    # The oldest is held up by prompts and rows of the other one alone, which comes back when it has
    # ended: with its tokens as prompt, then the rest.
    assert found.finish_s[0] < alone.finish_s[0] + 2 * 0.3 + 6 * 2 * 3 * ROW_S + 0.1
    assert found.finish_s[1] > found.finish_s[0]
    # Its first token had come before.
    assert found.first_token_s[1] < found.finish_s[0]


def test_who_can_never_fit_is_refused_in_the_end(tiny: Problem) -> None:
    found = run(small(tiny, 4, 14), (0.0,), tokens=6)
    assert list(found.reason) == ["too-large"]


def simulated(
    seed: int, page_tokens: int, *, spare: int = 0, relay: Relay = "client", honest: bool = False
) -> tuple[Problem, SimulationResult, Sequence[Request], Placement]:
    """A small swarm that batches; its requests reserve what they need and some more."""
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    problem = replace(problem, network=replace(problem.network, relay=relay))
    chunk = int(rng.choice([0, 4]))
    problem = paged(problem, page_tokens, chunk)
    placement = random_placement(rng, problem)
    if honest:  # no more weights and cache than there is memory for
        spans = zip(placement.start.tolist(), placement.end.tolist(), strict=True)
        cost = CostModel.of(problem)
        room = cost.room_bytes(placement.start, placement.end)
        fitting = [(s, e) if r > 0 else (0, 0) for (s, e), r in zip(spans, room, strict=True)]
        placement = cost.placed(fitting)
    requests = [
        replace(
            r,
            reserved_tokens=r.prompt_tokens + r.output_tokens + spare,
            expected_tokens=None,
            ladder_tokens=(),
        )
        for r in random_requests(rng, 20)
    ]
    if rng.random() < 0.3 and not honest:
        problem = shared(problem, rng, rate=1e5)
    router = PetalsRouting()(CostModel.of(problem), placement)
    found = simulate(problem, placement, router, requests, admission="queue")
    return problem, found, requests, placement


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_a_page_as_long_as_a_session_is_its_reservation(seed: int) -> None:
    assert simulated(seed, 100_000)[1] == simulated(seed, 0)[1]


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([1, 4, 16]), st.sampled_from([0, 20]))
def test_everybody_ends_and_no_pool_is_ever_overdrawn(seed: int, page: int, spare: int) -> None:
    relay: Relay = ("client", "server", "pipeline")[seed % 3]
    _, found, _, placement = simulated(seed, page, spare=spare, relay=relay)
    assert not any(s == "unfinished" for s in found.status)
    assert (found.made[found.done] == found.output_tokens[found.done]).all()
    assert (found.peak_cache_bytes <= placement.cache_bytes).all()
    assert (found.compute_busy_frac <= 1 + 1e-9).all()
    kept = np.array([reason == "no-route" for reason in found.reason])
    whole = simulated(seed, 0, spare=spare, relay=relay)[1]
    assert (kept == np.array([reason == "no-route" for reason in whole.reason])).all()


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_no_run_with_pages_beats_the_bound(seed: int) -> None:
    problem, found, requests, _ = simulated(seed, 4, spare=20, honest=True)
    rows = np.array(
        [[r.client, r.prompt_tokens, r.output_tokens, r.reserved_tokens] for r in requests]
    )
    most = most_per_s(CostModel.of(problem), Mix.of(rows, np.ones(len(rows)) / len(rows)))
    span = float(found.finish_s[found.done].max(initial=0.0) - found.arrival_s.min())
    # All that were served in their own share: what was in flight at both ends is within them.
    if found.done.all() and span > 0:
        assert len(requests) / span <= most * (1 + 1e-6)


def test_the_fluid_model_has_room_for_what_sessions_hold_on_average(tiny: Problem) -> None:
    rooms = []
    for page in (0, 1, 22):
        cost = CostModel.of(small(tiny, page, 220))
        rooms.append(fluid(cost, np.ones(2) / 2, cost.placed([(0, 3), (3, 6)])).room)
    # 22 tokens at once; 11 + (11 + 1) / 2 = 17 on average.
    assert rooms == [10.0, 12.0, 10.0]
