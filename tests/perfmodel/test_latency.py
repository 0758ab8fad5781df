"""Route times against the worked examples of docs/model.md."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.names import Relay
from swarmplan.core.plan import Hop, Route
from swarmplan.core.problem import Problem, Timing
from swarmplan.perfmodel.latency import BlockTimes, hop_cost, route_time


def two_servers(tiny: Problem, relay: Relay) -> Problem:
    """RTT client-A 20, client-B 40, A-B 6; overhead 1, compute 10 a server (ms)."""
    timing = Timing(decode_base_s=0.010, prefill_base_s=0.010)
    servers = tuple(dataclasses.replace(s, timing=timing) for s in tiny.servers[:2])
    network = dataclasses.replace(
        tiny.network,
        client_rtt_s=np.array([[0.020, 0.040]]),
        server_rtt_s=np.array([[0.0, 0.006], [0.006, 0.0]]),
        step_overhead_s=0.001,
        prefill_overhead_s=0.001,
        relay=relay,
    )
    return dataclasses.replace(tiny, servers=servers, clients=tiny.clients[:1], network=network)


ROUTE = Route(hops=(Hop(server=0, start=0, end=1), Hop(server=1, start=1, end=2)))


@pytest.mark.parametrize(("relay", "step_s"), [("client", 0.082), ("server", 0.055)])
def test_a_step_over_two_hops_equals_the_worked_example(
    tiny: Problem, relay: Relay, step_s: float
) -> None:
    time = route_time(two_servers(tiny, relay), 0, ROUTE, 5, 3)
    assert time.tpot_s == pytest.approx(step_s, rel=1e-12)
    assert time.ttft_s == pytest.approx(0.082, rel=1e-12)  # prefill always returns to the client
    assert time.total_s == pytest.approx(0.082 + 2 * step_s, rel=1e-12)


def test_whole_request_cost_is_prefill_plus_later_steps(tiny: Problem) -> None:
    cost = hop_cost(tiny, 1, prompt_tokens=10, output_tokens=5)
    np.testing.assert_allclose(cost.hop_s, cost.prefill_hop_s + 4 * cost.step_hop_s)
    np.testing.assert_allclose(cost.block_s, cost.prefill_block_s + 4 * cost.step_block_s)


def test_decode_is_priced_at_the_mean_context(tiny: Problem) -> None:
    timing = Timing(decode_base_s=0.0, decode_per_context_token_s=1.0)
    servers = tuple(dataclasses.replace(s, timing=timing) for s in tiny.servers)
    cost = hop_cost(dataclasses.replace(tiny, servers=servers), 0, 100, 4)
    # Steps attend to 101, 102 and 103 tokens.
    assert cost.steps * cost.step_block_s[0] == pytest.approx(101 + 102 + 103)


def test_bandwidth_adds_the_transfer_both_ways(tiny: Problem) -> None:
    network = dataclasses.replace(
        tiny.network, client_bandwidth_bytes_per_s=np.full((2, 4), 1_000.0)
    )
    slow = hop_cost(dataclasses.replace(tiny, network=network), 0, 10, 2)
    plain = hop_cost(tiny, 0, 10, 2)
    np.testing.assert_allclose(slow.prefill_hop_s - plain.prefill_hop_s, 2 * 10 * 128 / 1_000)
    np.testing.assert_allclose(slow.step_hop_s - plain.step_hop_s, 2 * 128 / 1_000)


@given(st.integers(0, 5_000), st.integers(1, 3_000))
def test_times_by_columns_are_those_of_every_server_alone(prompt: int, output: int) -> None:
    rng = np.random.default_rng(prompt)
    names = Timing.__slots__
    timings = [
        Timing(**dict(zip(names, rng.uniform(0, 0.1, len(names)), strict=True))) for _ in range(6)
    ]
    columns = {name: np.array([getattr(t, name) for t in timings]) for name in BlockTimes.__slots__}
    times = BlockTimes(**columns)
    assert times.prefill_s(prompt).tolist() == [t.prefill_s(prompt) for t in timings]
    assert times.decode_s(output + 0.5).tolist() == [t.decode_s(output + 0.5) for t in timings]
