"""Times of a session alone: no plan beats them, and under client relay some plan attains them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains import knapsack
from swarmplan.chains.knapsack import (
    least_by_client_relay_s,
    least_responses_s,
    window_min,
)
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.methods.routers import ROUTERS
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.runs import Runs
from swarmplan.simulator.engine import simulate
from swarmplan.tests.placement.offline import every_route, fits_alone, uneven

MakeProblem = Callable[..., Problem]


def request(rng: np.random.Generator, row: int, clients: int) -> Request:
    prompt, output = int(rng.integers(1, 40)), int(rng.integers(1, 20))
    return Request(
        id=row,
        client=int(rng.integers(clients)),
        arrival_s=float(rng.uniform(0, 5)),
        prompt_tokens=prompt,
        output_tokens=output,
        reserved_tokens=prompt + output,
    )


def fastest_of_all(problem: Problem, asked: Request) -> float:
    """The least response over all orders of servers and all shares of the blocks."""
    cost = CostModel.of(problem)
    shape = cost.shape(asked.client, asked.prompt_tokens, asked.output_tokens)
    times = (
        cost.route_time(route, shape).total_s
        for route in every_route(problem)
        if fits_alone(cost, route, asked.reserved_tokens)
    )
    return min(times, default=np.inf) + problem.session_setup_s + problem.alloc_delay_s


@given(seed=st.integers(0, 10_000), relay=st.sampled_from(["client", "server"]))
def test_the_least_response_is_that_of_the_fastest_chain_of_all(
    make_problem: MakeProblem, seed: int, relay: str
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=4, clients=2, length=5, relay=relay)
    problem = replace(problem, alloc_delay_s=float(rng.integers(0, 2)) / 4)
    asked = [request(rng, i, 2) for i in range(3)]
    for found, one in zip(least_responses_s(CostModel.of(problem), asked), asked, strict=True):
        expected = fastest_of_all(problem, one)
        assert found <= expected
        if relay == "client":
            assert found == pytest.approx(expected, rel=1e-9)


@given(seed=st.integers(0, 10_000), relay=st.sampled_from(["client", "server"]))
def test_where_blocks_differ_no_chain_is_faster_than_the_least_response(
    make_problem: MakeProblem, seed: int, relay: str
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng, servers=4, clients=2, length=5, relay=relay), rng)
    asked = [request(rng, i, 2) for i in range(3)]
    found = least_responses_s(CostModel.of(problem), asked)
    assert (found <= [fastest_of_all(problem, one) for one in asked]).all()


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), router=st.sampled_from(["ws-rr", "jffc", "fastest-free"]))
def test_no_simulated_request_is_answered_sooner(
    make_problem: MakeProblem, seed: int, router: str
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=4, clients=2, length=5)
    cost = CostModel.of(problem)
    asked = [request(rng, i, 2) for i in range(20)]
    cuts = np.sort(rng.integers(0, 6, size=(4, 2)))
    room = problem.memory_bytes // 1_000
    spans = [(int(s), int(min(e, s + m))) for (s, e), m in zip(cuts, room, strict=True)]
    placement = cost.placed(spans)
    result = simulate(problem, placement, ROUTERS[router](cost, placement), asked)
    done = np.array(result.status) == "completed"
    assert (result.response_s[done] >= least_responses_s(cost, asked)[done] - 1e-9).all()


def test_too_many_shapes_are_rounded_down_and_stay_bounds(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    asked = [request(rng, i, 2) for i in range(200)]
    sharp = least_responses_s(CostModel.of(tiny), asked)
    monkeypatch.setattr(knapsack, "MOST_CELLS", 0)
    monkeypatch.setattr(knapsack, "FEWEST_SHAPES", 40)
    coarse = least_responses_s(CostModel.of(tiny), asked)
    assert (coarse <= sharp).all()
    assert coarse.sum() < sharp.sum()
    assert coarse.sum() > 0.5 * sharp.sum()


def test_however_large_the_swarm_clients_are_told_apart(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = request(np.random.default_rng(1), 0, 1)
    asked = [one, replace(one, client=1)]
    sharp = least_responses_s(CostModel.of(tiny), asked)
    monkeypatch.setattr(knapsack, "MOST_CELLS", 0)
    monkeypatch.setattr(knapsack, "FEWEST_SHAPES", 1)
    assert least_responses_s(CostModel.of(tiny), asked).tolist() == sharp.tolist()


def test_a_request_that_fits_nowhere_has_no_least_response(tiny: Problem) -> None:
    asked = request(np.random.default_rng(0), 0, 2)
    huge = replace(asked, reserved_tokens=10**6)
    found = least_responses_s(CostModel.of(tiny), [asked, huge])
    assert np.isfinite(found).tolist() == [True, False]


@given(seed=st.integers(0, 10_000), servers=st.integers(1, 24))
def test_of_many_alike_servers_those_with_the_cheapest_hops_are_enough(
    seed: int, servers: int
) -> None:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, servers)
    length = int(rng.integers(1, 6))
    blocks = np.minimum(np.array([1, 2, 0])[kind], length)
    hop_s = rng.integers(0, 9, (2, servers)) / 8
    runs = Runs(length=length, each=np.array([[1, 3, 1], [4, 2, 1]])[:, kind] / 8)
    one_by_one = Runs(length=length, sums=runs.ramp(slice(None)))  # looked at block by block
    found = least_by_client_relay_s(blocks, hop_s, runs)
    assert found.tolist() == least_by_client_relay_s(blocks, hop_s, one_by_one).tolist()


def test_no_requests_have_no_times(tiny: Problem) -> None:
    assert least_responses_s(CostModel.of(tiny), []).shape == (0,)


@given(
    values=st.lists(st.floats(-10, 10), min_size=1, max_size=20),
    width=st.integers(1, 25),
)
def test_window_min_is_the_least_of_the_entries_before(values: list[float], width: int) -> None:
    row = np.array(values)
    width = min(width, len(row))
    expected = [row[max(0, q - width) : q].min(initial=np.inf) for q in range(len(row))]
    assert window_min(row, width).tolist() == expected
