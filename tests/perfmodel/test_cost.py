"""The cost model: route times of the worked examples, and sums block by block."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.names import Relay
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Problem, Timing, per_block
from swarmplan.perfmodel.cost import FEWEST_SHAPES, KNOWN_MODELS, CostModel
from swarmplan.perfmodel.timing import decode_s, prefill_s
from swarmplan.tests.placement.offline import uneven

Make = Callable[..., Problem]


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
    cost = CostModel.of(two_servers(tiny, relay))
    time = cost.route_time(ROUTE, cost.shape(0, 5, 3))
    assert time.tpot_s == pytest.approx(step_s, rel=1e-12)
    assert time.ttft_s == pytest.approx(0.082, rel=1e-12)  # prefill always returns to the client
    assert time.total_s == pytest.approx(0.082 + 2 * step_s, rel=1e-12)


@pytest.mark.parametrize(("relay", "network_s"), [("client", 0.060), ("server", 0.033)])
def test_a_step_is_network_overhead_and_compute(
    tiny: Problem, relay: Relay, network_s: float
) -> None:
    cost = CostModel.of(two_servers(tiny, relay))
    parts = cost.step_parts_s(ROUTE, cost.shape(0, 5, 3))
    assert parts == pytest.approx((network_s, 0.002, 0.020), rel=1e-12)


def test_whole_request_cost_is_prefill_plus_later_steps(tiny: Problem) -> None:
    shape = CostModel.of(tiny).shape(1, 10, 5)
    every = slice(None)
    np.testing.assert_allclose(shape.hop_s, shape.prefill_hop_s + 4 * shape.step_hop_s)
    prefill, step = shape.prefill_run_s(every, 0, 1), shape.step_run_s(every, 0, 1)
    np.testing.assert_allclose(shape.run_s(every, 0, 1), prefill + 4 * step)


def test_decode_is_priced_at_the_mean_context(tiny: Problem) -> None:
    timing = Timing(decode_base_s=0.0, decode_per_context_token_s=1.0)
    servers = tuple(dataclasses.replace(s, timing=timing) for s in tiny.servers)
    shape = CostModel.of(dataclasses.replace(tiny, servers=servers)).shape(0, 100, 4)
    # Steps attend to 101, 102 and 103 tokens.
    assert shape.steps * shape.step_run_s(0, 0, 1) == pytest.approx(101 + 102 + 103)


def test_bandwidth_adds_the_transfer_both_ways(tiny: Problem) -> None:
    network = dataclasses.replace(
        tiny.network, client_bandwidth_bytes_per_s=np.full((2, 4), 1_000.0)
    )
    slow = CostModel.of(dataclasses.replace(tiny, network=network)).shape(0, 10, 2)
    plain = CostModel.of(tiny).shape(0, 10, 2)
    np.testing.assert_allclose(slow.prefill_hop_s - plain.prefill_hop_s, 2 * 10 * 128 / 1_000)
    np.testing.assert_allclose(slow.step_hop_s - plain.step_hop_s, 2 * 128 / 1_000)


@given(seed=st.integers(0, 10**6), prompt=st.integers(1, 50), output=st.integers(1, 50))
def test_where_blocks_differ_every_run_is_the_sum_over_its_blocks(
    make_problem: Make, seed: int, prompt: int, output: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng), rng)
    cost, shape = CostModel.of(problem), CostModel.of(problem).shape(1, prompt, output)
    assert not cost.alike
    cache = per_block(problem.model.cache_bytes_per_token, 6)
    for j, server in enumerate(problem.servers):
        start, end = sorted(rng.choice(7, 2, replace=False).tolist())
        weights, timings = per_block(server.block_bytes, 6), per_block(server.timing, 6)
        steps = sum(decode_s(t, prompt + output / 2) for t in timings[start:end])
        prompts = sum(prefill_s(t, prompt) for t in timings[start:end])
        assert cost.weights_bytes(j, start, end) == sum(weights[start:end])
        assert cost.cache_bytes(7, start, end) == 7 * sum(cache[start:end])
        assert cost.session_bytes(start, end) == 20 * sum(cache[start:end])
        assert cost.weights_and_cache([(2, 7), (1, 3)])(j, start, end) == (
            sum(weights[start:end]) + 17 * sum(cache[start:end])
        )
        assert shape.step_run_s(j, start, end) == pytest.approx(steps, rel=1e-12)
        assert shape.prefill_run_s(j, start, end) == pytest.approx(prompts, rel=1e-12)
        assert shape.run_s(j, start, end) == pytest.approx(prompts + (output - 1) * steps)


def test_one_odd_block_of_one_server_makes_blocks_differ(tiny: Problem) -> None:
    assert CostModel.of(tiny).alike

    def changed(**fields: object) -> Problem:
        server = dataclasses.replace(tiny.servers[2], **fields)  # type: ignore[arg-type]
        return dataclasses.replace(tiny, servers=(*tiny.servers[:2], server, tiny.servers[3]))

    same, odd = tiny.servers[2].timing, tiny.servers[0].timing
    assert not CostModel.of(changed(block_bytes=(1_000,) * 5 + (999,))).alike
    assert not CostModel.of(changed(timing=(same,) * 5 + (odd,))).alike
    model = dataclasses.replace(tiny.model, cache_bytes_per_token=(10,) * 5 + (11,))
    assert not CostModel.of(dataclasses.replace(tiny, model=model)).alike


@given(seed=st.integers(0, 10**6), tokens=st.integers(1, 40), unequal=st.booleans())
def test_a_session_enters_a_span_from_the_first_block_that_its_pool_allows(
    make_problem: Make, seed: int, tokens: int, unequal: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    cost = CostModel.of(uneven(problem, rng) if unequal else problem)
    for end in range(1, 7):
        free = int(rng.integers(0, 3_000))
        fitting = [s for s in range(end + 1) if cost.cache_bytes(tokens, s, end) <= free]
        assert cost.earliest_block(tokens, free, end) == min(fitting)
        assert cost.tokens_held(free, 0, end) == free // int(cost.cache_bytes(1, 0, end))


def test_the_pool_of_a_placement_is_all_that_its_very_weights_leave(tiny: Problem) -> None:
    weights = (500, 600, 700, 800, 900, 1_000)
    servers = tuple(dataclasses.replace(s, block_bytes=weights) for s in tiny.servers)
    placement = CostModel.of(dataclasses.replace(tiny, servers=servers)).placed(
        [(0, 4), (3, 6), (5, 5), (2, 6)], order=(3, 0)
    )
    assert placement == Placement(
        start=np.array([0, 3, 0, 2]),
        end=np.array([4, 6, 0, 6]),
        # The last one's weights of 3,400 bytes are more than its memory.
        cache_bytes=np.array([6_000 - 2_600, 4_000 - 2_700, 0, 0]),
        order=(3, 0),
    )


def test_a_shape_is_computed_once_while_it_is_remembered(tiny: Problem) -> None:
    cost = CostModel(tiny)
    first = cost.shape(0, 10, 5)
    assert cost.shape(0, 10, 5) is first
    assert cost.planned(1) is cost.shape(1, 11, 11)
    for other in ((1, 10, 5), (0, 11, 5), (0, 10, 6)):
        assert cost.shape(*other) != first
    for prompt in range(1, 4 * FEWEST_SHAPES):
        cost.shape(1, prompt, 5)
    assert cost.shape(0, 10, 5) is first


def test_no_number_of_shapes_outgrows_the_memory_of_them(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmplan.perfmodel.cost.KNOWN_BYTES", 0)
    cost = CostModel(tiny)
    first = cost.shape(0, 1, 5)
    for prompt in range(2, FEWEST_SHAPES + 2):
        cost.shape(0, prompt, 5)
    again = cost.shape(0, 1, 5)
    assert again is not first
    assert again == first


def test_a_problem_has_one_cost_model_while_it_is_among_the_last_ones(tiny: Problem) -> None:
    one = dataclasses.replace(tiny)
    cost = CostModel.of(one)
    assert CostModel.of(one) is cost
    others = [dataclasses.replace(tiny) for _ in range(KNOWN_MODELS)]
    assert all(CostModel.of(p).problem is p for p in others)
    assert CostModel.of(one) is not cost
    assert CostModel.of(one).problem is one
