"""What PETALS servers announce and clients believe, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import Problem
from swarmplan.perfmodel.announced import (
    announced_cache_bytes,
    announced_throughput,
    believed_step_run_s,
    blocks_by_rule,
    most_cache_tokens,
)
from swarmplan.perfmodel.cost import CostModel


def roomy(problem: Problem) -> Problem:
    """Servers of 20, 15, 15 and 10 MB; PETALS keeps 2 GiB x 64 / 14336 of each for gradients."""
    sizes = (20_000_000, 15_000_000, 15_000_000, 10_000_000)
    servers = (replace(s, memory_bytes=m) for s, m in zip(problem.servers, sizes, strict=True))
    return replace(problem, servers=tuple(servers))


def test_what_is_kept_for_gradients_grows_with_the_hidden_size(tiny: Problem) -> None:
    # 9,586,980 bytes are kept; a block takes 1,000 bytes and 10 for each of 100,000 tokens.
    assert blocks_by_rule(CostModel.of(roomy(tiny)), 100_000).tolist() == [6, 5, 5, 0]
    assert blocks_by_rule(CostModel.of(roomy(tiny)), 41_203).tolist() == [6, 6, 6, 0]
    assert blocks_by_rule(CostModel.of(roomy(tiny)), 41_202).tolist() == [6, 6, 6, 1]


@given(st.integers(10_000, 200_000))
def test_at_the_most_tokens_the_roomiest_server_still_takes_a_block(
    tiny: Problem, block_bytes: int
) -> None:
    servers = tuple(replace(s, block_bytes=block_bytes) for s in roomy(tiny).servers)
    cost = CostModel.of(replace(tiny, servers=servers))
    most = most_cache_tokens(cost)
    assert blocks_by_rule(cost, most).max() == 1
    assert blocks_by_rule(cost, most + 1).max() == 0


def test_keys_and_values_of_the_cache_that_is_left_are_counted_apart(tiny: Problem) -> None:
    assert announced_cache_bytes(CostModel.of(tiny), 4_096) == 4_096 * 10 // 2
    model = replace(tiny.model, cache_bytes_per_token=(10, 10, 10, 10, 10, 11))
    assert announced_cache_bytes(CostModel.of(replace(tiny, model=model)), 3) == 16


def test_a_server_without_a_rate_is_believed_to_do_300_blocks_a_second(tiny: Problem) -> None:
    fast = replace(tiny.servers[0], inference_rps=50.0)
    run_s = believed_step_run_s(CostModel.of(replace(tiny, servers=(fast, *tiny.servers[1:]))))
    assert run_s(0, 1, 4) == pytest.approx(3 / 50)
    assert run_s(1, 1, 4) == pytest.approx(3 / 300)


def test_a_relayed_server_announces_a_fifth_of_its_network(tiny: Problem) -> None:
    plain = [
        replace(s, network_rps=100.0 if j else None, forward_rps=1e6, relayed=j == 1)
        for j, s in enumerate(tiny.servers)
    ]
    rates = announced_throughput(
        CostModel.of(replace(tiny, servers=tuple(plain))), np.array([1, 1, 6, 0])
    )
    # Where none is announced, 100 Mbit/s carry hidden states of 64 values of 16 bits.
    assert rates.tolist() == [100e6 / (16 * 64), 20.0, 100.0, 0.0]
