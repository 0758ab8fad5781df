"""PETALS' own placement: block count, announced throughput, joining, rebalancing."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.chains.soundness import misplaced
from swarmplan.core.errors import SwarmplanWarning
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem, Timing
from swarmplan.perfmodel.announced import (
    announced_throughput,
    blocks_by_rule,
    default_cache_tokens,
)
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.timing import prefill_s
from swarmplan.placement.rules.petals import (
    PetalsRule,
    PetalsTuned,
    load_of,
    rebalanced,
    should_move,
)
from swarmplan.placement.sessions import task_of
from swarmplan.tests.placement.offline import BLOOM, spans, uneven

Make = Callable[..., Problem]


def bloom(tiny: Problem, *memory_gb: float) -> Problem:
    """The tiny swarm serving BLOOM-176B on servers of these sizes."""
    servers = tuple(
        dataclasses.replace(
            s,
            memory_bytes=round(m * 1e9),
            block_bytes=BLOOM.block_bytes,
            forward_rps=None,
            network_rps=None,
        )
        for s, m in zip(tiny.servers, memory_gb, strict=True)
    )
    return dataclasses.replace(tiny, model=BLOOM, servers=servers)


def test_the_block_count_is_that_of_petals_on_published_memory(tiny: Problem) -> None:
    big = CostModel.of(bloom(tiny, 86.13, 79.13, 84.973, 3.0))
    assert blocks_by_rule(big, 4096).tolist() == [53, 49, 53, 0]
    small = CostModel.of(bloom(tiny, 9.1, 8.2, 10.2, 3.8))
    assert blocks_by_rule(small, 4096).tolist() == [4, 3, 5, 1]
    assert blocks_by_rule(small, 8192).tolist() == [3, 3, 4, 0]


def test_grouped_queries_get_four_times_the_cache_tokens(tiny: Problem) -> None:
    assert default_cache_tokens(tiny) == 4096
    grouped = dataclasses.replace(tiny.model, grouped_query=True)
    assert default_cache_tokens(dataclasses.replace(tiny, model=grouped)) == 16384


def test_announced_throughput_is_the_lesser_of_compute_and_network(tiny: Problem) -> None:
    blocks = np.array([3, 1, 2, 0])
    relayed = dataclasses.replace(tiny.servers[1], relayed=True)
    problem = dataclasses.replace(tiny, servers=(tiny.servers[0], relayed, *tiny.servers[2:]))
    rates = announced_throughput(CostModel.of(problem), blocks)
    assert rates == pytest.approx([1_000 / 2, min(1_000, 0.2 * 5_000), 1_000 / 1.5, 0.0])


def test_what_is_not_announced_is_derived_from_the_profile(tiny: Problem) -> None:
    problem = bloom(tiny, 86.13, 9.1, 9.1, 9.1)
    rates = announced_throughput(CostModel.of(problem), np.array([53, 4, 4, 4]))
    timing = problem.servers[0].timing
    assert isinstance(timing, Timing)
    network = 100e6 / (16 * 14336)
    assert rates[0] == pytest.approx(min(1024 / prefill_s(timing, 1024) / 27, network))


def joined(
    blocks: list[int], rates: list[float], order: list[int], length: int
) -> list[tuple[int, int]]:
    """Rule P2, one server after another, every window looked at."""
    load, spans = [0.0] * length, [(0, 0)] * len(blocks)
    for j in order:
        if blocks[j]:
            starts = range(length - blocks[j] + 1)
            best = min(starts, key=lambda s: (sorted(load[s : s + blocks[j]]), s))
            spans[j] = (best, best + blocks[j])
            for b in range(*spans[j]):
                load[b] += rates[j]
    return spans


@given(data=st.data(), seed=st.integers(0, 10**6))
def test_each_server_joins_where_the_sorted_throughput_is_least(
    make_problem: Make, data: st.DataObject, seed: int
) -> None:
    problem = make_problem(np.random.default_rng(seed), servers=6, length=8)
    blocks = data.draw(st.lists(st.integers(0, 6), min_size=6, max_size=6))
    order = data.draw(st.permutations(range(6)))
    rule = PetalsRule(join_order=order, blocks=blocks, rebalance=False, cache="left_over")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmplanWarning)
        placement = rule(task_of(problem, sessions=1))
    rates = announced_throughput(CostModel.of(problem), np.array(blocks)).tolist()
    assert spans(placement) == joined(blocks, rates, list(order), 8)
    assert placement.order == tuple(j for j in order if blocks[j])


def test_a_random_order_of_joining_is_fixed_by_the_seed(make_problem: Make) -> None:
    problem = make_problem(np.random.default_rng(3), servers=8, length=8)
    rule = PetalsRule(blocks=[3] * 8)

    def made(seed: int) -> Placement:
        return rule(task_of(problem, sessions=1, seed=seed))

    same = [made(5) for _ in range(2)]
    assert same[0].order == same[1].order
    assert same[0].start.tolist() == same[1].start.tolist()
    assert len({made(s).order for s in range(20)}) > 10


def test_the_pool_is_what_the_flag_reserves_or_all_that_is_left(tiny: Problem) -> None:
    problem = bloom(tiny, 86.13, 86.13, 86.13, 9.1)
    task = task_of(problem)
    shipped, roomy = PetalsRule()(task), PetalsRule(cache="left_over")(task)
    per_block = 4096 * 57_344
    assert shipped.cache_bytes.tolist() == (per_block * shipped.num_blocks).tolist()
    left = problem.memory_bytes - roomy.num_blocks * BLOOM.block_bytes
    assert roomy.cache_bytes.tolist() == left.tolist()


def test_leaving_would_cut_the_swarm_so_the_server_stays() -> None:
    """The last holder of blocks 2 and 3 never moves, however crowded the rest is not."""
    start, blocks = np.array([0, 0, 2]), np.array([2, 2, 2])
    rates = np.array([1.0, 1.0, 9.0])
    rng, load = np.random.default_rng(0), load_of(start, blocks, rates, [0, 1, 2], 4)
    assert not should_move(load, start, blocks, rates, [0, 1, 2], 2, rng)


def test_a_server_leaves_a_crowded_place_for_an_empty_one() -> None:
    """Three on [0, 2), none on [2, 4): the swarm is cut, so one of them goes there."""
    start, blocks = np.array([0, 0, 0]), np.array([2, 2, 2])
    rates, rng = np.ones(3), np.random.default_rng(0)
    load = load_of(start, blocks, rates, [0, 1, 2], 4)
    assert should_move(load, start, blocks, rates, [0, 1, 2], 0, rng)
    after = rebalanced(start, blocks, rates, [0, 1, 2], 4, np.random.default_rng(1))
    assert set(after.tolist()) == {0, 2}


def test_a_small_gain_moves_nobody() -> None:
    """1.0 against 0.9: the balance is above the 75 % at which PETALS moves."""
    start, blocks, rates = np.array([0, 2]), np.array([2, 2]), np.array([1.0, 0.9])
    load = load_of(start, blocks, rates, [0, 1], 4)
    for j in range(2):
        rng = np.random.default_rng(j)
        assert not should_move(load, start, blocks, rates, [0, 1], j, rng)


@settings(max_examples=80)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 6), length=st.integers(2, 8))
def test_rebalancing_ends_inside_the_model_and_never_cuts_a_swarm_in_two(
    seed: int, n: int, length: int
) -> None:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(1, length + 1, n)
    rates = rng.uniform(0.5, 20.0, n)
    start = np.array([int(rng.integers(0, length - m + 1)) for m in blocks])
    after = rebalanced(start, blocks, rates, list(range(n)), length, rng)
    assert ((after >= 0) & (after + blocks <= length)).all()

    def bare(starts: np.ndarray) -> int:
        held = np.zeros(length)
        for s, m in zip(starts, blocks, strict=True):
            held[s : s + m] += 1
        return int((held == 0).sum())

    if bare(start) == 0:
        assert bare(after) == 0


@given(
    memory_gb=st.tuples(*[st.floats(8.0, 90.0)] * 4),
    sessions=st.integers(1, 400),
    seed=st.integers(0, 99),
    even=st.booleans(),
)
def test_tuned_petals_never_overfills_a_server(
    tiny: Problem, memory_gb: tuple[float, ...], sessions: int, seed: int, even: bool
) -> None:
    problem = bloom(tiny, *memory_gb)
    if not even:
        problem = uneven(problem, np.random.default_rng(seed))
    cost = CostModel.of(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmplanWarning)
        placement = PetalsTuned()(task_of(problem, sessions=sessions, seed=seed))
    assert placement.num_blocks.any()
    weights = cost.weights_bytes(np.arange(4), placement.start, placement.end)
    assert (weights + placement.cache_bytes <= problem.memory_bytes).all()
    assert not list(misplaced(cost, placement))
