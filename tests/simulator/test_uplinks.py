"""Uplinks that several links share: transfers take turns; alone they take what is said of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.events import ServerEvent
from swarmplan.core.names import Relay, Sharing
from swarmplan.core.plan import Hop, Route
from swarmplan.core.problem import Problem, Timing
from swarmplan.core.uplinks import Uplink
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.api import Decision
from swarmplan.routing.petals import PetalsRouting
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult
from swarmplan.tests.simulator.plain import told
from swarmplan.tests.simulator.test_engine import (
    random_placement,
    random_problem,
    random_requests,
)

#: A hidden state has 128 bytes: at this rate a token takes 10 ms.
RATE = 12_800.0
ROUTE = Route(hops=(Hop(server=0, start=0, end=3), Hop(server=1, start=3, end=6)))


class Fixed:
    """Everybody takes the same chain."""

    def __call__(self, *asked: object, **more: object) -> Decision:
        return Decision(route=ROUTE, cost_s=0.0)


def swarm(tiny: Problem, relay: Relay, *uplinks: Uplink, sharing: Sharing = "serial") -> Problem:
    """Two servers of three blocks, 20 ms from each other and 10 ms from the clients."""
    timing = Timing(decode_base_s=0.010, prefill_base_s=0.100)
    servers = tuple(
        replace(s, timing=timing, sharing=sharing, task_tokens=1_000, memory_bytes=10**6)
        for s in tiny.servers[:2]
    )
    network = replace(
        tiny.network,
        client_rtt_s=np.full((2, 2), 0.020),
        server_rtt_s=np.array([[0.0, 0.040], [0.040, 0.0]]),
        step_overhead_s=0.0,
        prefill_overhead_s=0.0,
        relay=relay,
        uplinks=uplinks,
    )
    return replace(tiny, servers=servers, network=network)


def run(
    problem: Problem, arrivals: Sequence[float] = (0.0,), clients: Sequence[int] = (0,)
) -> SimulationResult:
    """Requests of 10 + 3 tokens, of the clients in turn."""
    requests = [
        Request(
            id=i,
            client=clients[i % len(clients)],
            arrival_s=at,
            prompt_tokens=10,
            output_tokens=3,
            reserved_tokens=13,
        )
        for i, at in enumerate(arrivals)
    ]
    placement = CostModel.of(problem).placed([(0, 3), (3, 6)])
    return simulate(problem, placement, Fixed(), requests, admission="queue")


def alone_s(problem: Problem) -> tuple[float, float]:
    """First token and response of one such request by the cost model."""
    cost = CostModel.of(problem)
    found = cost.route_time(ROUTE, cost.shape(0, 10, 3))
    return found.ttft_s, found.total_s


def test_every_hidden_state_of_a_client_goes_over_its_uplink(tiny: Problem) -> None:
    uplink = Uplink(name="home", clients=(0,), up_bytes_per_s=RATE, down_bytes_per_s=2 * RATE)
    problem = swarm(tiny, "client", uplink)
    found = run(problem)
    # A prompt of 10 tokens: 100 ms up and 50 ms down, at both hops; a step a tenth of that.
    first = 2 * (0.020 + 0.300 + 0.150)
    step = 2 * (0.020 + 0.030 + 0.015)
    assert found.ttft_s[0] == pytest.approx(first)
    assert found.response_s[0] == pytest.approx(first + 2 * step)
    assert alone_s(problem) == pytest.approx((first, first + 2 * step))
    sent = 2 * 12 * 128
    assert found.uplink_bytes.tolist() == [[sent, sent]]
    busy = found.uplink_busy_frac * found.end_s
    assert busy.tolist() == [pytest.approx([sent / RATE, sent / RATE / 2])]


def test_a_transfer_over_several_uplinks_takes_as_long_as_on_the_slowest(tiny: Problem) -> None:
    thin = Uplink(name="host", servers=(0,), up_bytes_per_s=RATE)
    wide = Uplink(name="site", servers=(0,), clients=(1,), up_bytes_per_s=2 * RATE)
    far = Uplink(name="other", servers=(1,), down_bytes_per_s=4 * RATE)
    problem = swarm(tiny, "pipeline", wide, thin, far)
    found = run(problem)
    first = 0.010 + 0.300 + 0.100 + 0.020 + 0.300 + 0.010
    assert found.ttft_s[0] == pytest.approx(first)
    assert alone_s(problem)[0] == pytest.approx(first)


def test_transfers_take_turns_on_what_they_share(tiny: Problem) -> None:
    uplink = Uplink(name="home", clients=(0,), up_bytes_per_s=RATE / 10)  # a prompt takes a second
    found = run(swarm(tiny, "client", uplink, sharing="independent"), (0.0, 0.0))
    # The second prompt sets off when the first has gone; the first one's next hop stands behind it.
    assert found.ttft_s[0] == pytest.approx(1.0 + 0.020 + 0.300 + (1.0 - 0.320) + 1.0 + 0.320)
    other = run(swarm(tiny, "client", uplink, sharing="independent"), (0.0, 0.0), clients=(0, 1))
    assert other.ttft_s[0] == pytest.approx(2 * 1.320)
    assert other.ttft_s[1] == pytest.approx(2 * 0.320)


def test_what_stays_behind_an_uplink_does_not_cross_it(tiny: Problem) -> None:
    uplink = Uplink(name="site", servers=(0, 1), up_bytes_per_s=1.0, down_bytes_per_s=1.0)
    free = run(swarm(tiny, "pipeline"))
    found = run(swarm(tiny, "pipeline", uplink))
    assert found.finish_s[0] == pytest.approx(free.finish_s[0])
    assert found.uplink_bytes.tolist() == [[0, 0]]


def test_an_answer_that_servers_send_beside_handing_on_takes_its_turn(tiny: Problem) -> None:
    uplink = Uplink(name="first", servers=(0,), up_bytes_per_s=RATE)
    problem = swarm(tiny, "server", uplink)
    found = run(problem)
    ttft_s, response_s = alone_s(problem)
    assert found.ttft_s[0] == pytest.approx(ttft_s)
    # A step goes on to the second server at once, its answer behind it: nobody waits for that.
    step = 0.010 + 0.030 + 0.010 + 0.020 + 0.030 + 0.010
    assert found.response_s[0] == pytest.approx(ttft_s + 2 * step)
    assert response_s == pytest.approx(ttft_s + 2 * step)
    assert found.uplink_bytes[0, 0] == (10 + 2 * 2) * 128


def shared(problem: Problem, rng: np.random.Generator, *, rate: float) -> Problem:
    """The problem with some uplinks, nested or not, of about a rate."""
    n, clients = problem.num_servers, len(problem.clients)
    uplinks = []
    for u in range(int(rng.integers(1, 4))):
        inside = rng.permutation(n)[: int(rng.integers(1, n))]
        own = rng.permutation(clients)[: int(rng.integers(0, clients + 1))]
        up, down = rate * rng.uniform(0.5, 2.0, 2)
        uplinks.append(
            Uplink(
                name=f"uplink-{u}",
                servers=tuple(sorted(inside.tolist())),
                clients=tuple(sorted(own.tolist())),
                up_bytes_per_s=float(up),
                down_bytes_per_s=math.inf if rng.random() < 0.2 else float(down),
            )
        )
    return replace(problem, network=replace(problem.network, uplinks=tuple(uplinks)))


def simulated(
    seed: int, *, rate: float = 1e6, count: int = 30, with_uplinks: bool = True
) -> tuple[Problem, SimulationResult]:
    """A small swarm under load."""
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    relays: tuple[Relay, ...] = ("client", "server", "pipeline")
    kinds: tuple[Sharing, ...] = ("serial", "batched", "independent")
    servers = tuple(
        replace(s, sharing=kinds[int(rng.integers(3))], task_tokens=int(rng.choice([1, 8, 128])))
        for s in problem.servers
    )
    network = replace(problem.network, relay=relays[int(rng.integers(3))])
    problem = replace(problem, servers=servers, network=network)
    placement = random_placement(rng, problem)
    requests = random_requests(rng, count)
    if with_uplinks:
        problem = shared(problem, rng, rate=rate)
    router = PetalsRouting()(CostModel.of(problem), placement)
    return problem, simulate(problem, placement, router, requests, admission="queue")


@given(st.integers(0, 10_000))
def test_one_request_alone_takes_what_the_cost_model_says(seed: int) -> None:
    problem, found = simulated(seed, rate=2e5, count=1)
    route = found.routes[0]
    if route is None:
        return
    cost = CostModel.of(problem)
    shape = cost.shape(
        int(found.client[0]), int(found.prompt_tokens[0]), int(found.output_tokens[0])
    )
    said = cost.route_time(route, shape)
    waited = float(found.start_s[0] - found.arrival_s[0]) + cost.opening_s
    assert found.ttft_s[0] - waited >= said.ttft_s * (1 - 1e-9)
    # Answers of servers in the middle may stand in one's own way.
    if problem.network.relay != "server":
        assert found.ttft_s[0] - waited == pytest.approx(said.ttft_s, rel=1e-9)
        assert found.response_s[0] - waited == pytest.approx(said.total_s, rel=1e-9)
    else:
        assert found.response_s[0] - waited >= said.total_s * (1 - 1e-9)


@given(st.integers(0, 10_000))
def test_uplinks_without_a_limit_change_nothing(seed: int) -> None:
    _, found = simulated(seed, rate=math.inf)
    _, plain = simulated(seed, with_uplinks=False)
    np.testing.assert_allclose(found.finish_s, plain.finish_s, rtol=1e-9)
    assert (found.uplink_busy_frac == 0).all()


@given(st.integers(0, 10_000))
def test_no_uplink_sends_more_than_all_the_time_and_every_byte_is_sent(seed: int) -> None:
    problem, found = simulated(seed, rate=2e4)
    assert (found.uplink_busy_frac <= 1 + 1e-9).all()
    expected = np.zeros_like(found.uplink_bytes)
    for i, route in enumerate(found.routes):
        if route is not None and found.status[i] == "completed":
            expected += crossed(problem, found, i, route)
    assert found.uplink_bytes == pytest.approx(expected)


def crossed(problem: Problem, found: SimulationResult, row: int, route: Route) -> np.ndarray:
    """(U, 2) bytes that a request sends over each uplink, transfer by transfer."""
    relay, servers = problem.network.relay, list(route.servers)
    sent = np.zeros((len(problem.network.uplinks), 2))
    for token in range(int(found.output_tokens[row])):
        tokens = int(found.prompt_tokens[row]) if token == 0 else 1
        size = tokens * problem.model.activation_bytes_per_token
        by_client = relay == "client" or (relay == "server" and token == 0)
        ways: list[tuple[int, int]] = []  # -1 = the client
        for before, j in zip([-1, *servers], servers, strict=False):
            if by_client:
                ways += [(-1, j), (j, -1)]
            elif relay == "server":
                ways += [(before, j), (j, -1)]
            elif before >= 0:
                ways.append((before, j))
        for u, uplink in enumerate(problem.network.uplinks):
            own = int(found.client[row]) in uplink.clients
            for a, b in ways:
                inside = [own if end < 0 else end in uplink.servers for end in (a, b)]
                sent[u, 0] += size * (inside[0] and not inside[1])
                sent[u, 1] += size * (inside[1] and not inside[0])
    return sent


@given(st.integers(0, 10_000))
def test_sessions_that_lose_a_server_while_they_send_still_end(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    relay: Relay = "server" if rng.random() < 0.6 else "client"
    problem = replace(problem, network=replace(problem.network, relay=relay))
    problem = shared(problem, rng, rate=1e4)
    placement, requests = random_placement(rng, problem), random_requests(rng, 20)
    router = PetalsRouting()(CostModel.of(problem), placement)
    times, servers = np.sort(rng.uniform(0, 20, 4)), rng.integers(problem.num_servers, size=2)
    events = [
        ServerEvent(time_s=float(at), server=int(servers[i // 2]), up=i % 2 == 1)
        for i, at in enumerate(times)
    ]
    found = simulate(problem, placement, router, requests, admission="queue", events=events)
    assert not (np.array(list(found.status)) == "unfinished").any()
    assert (found.made[found.done] == found.output_tokens[found.done]).all()


SCRIPT = """
import json
from swarmplan.tests.simulator.test_uplinks import simulated
found = [simulated(seed, rate=2e4)[1].finish_s.tolist() for seed in (1, 2, 3, 8)]
print(json.dumps([[x.hex() for x in each] for each in found]))
"""


def test_compiled_or_as_plain_python_uplinks_are_equal_to_the_last_bit() -> None:
    assert told(SCRIPT) == told(SCRIPT, NUMBA_DISABLE_JIT="1")
