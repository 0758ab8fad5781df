"""Both relay modes against the formulas of docs/model.md 3.1, chain by chain."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.names import Relay
from swarmplan.core.plan import Hop, Route
from swarmplan.core.problem import Problem, Timing
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.hops import HopCost
from swarmplan.perfmodel.timing import decode_s, prefill_s

Make = Callable[..., Problem]
PROMPT, OUTPUT = 10, 9
RELAYS = st.sampled_from(["client", "server", "pipeline"])


def random_swarm(make_problem: Make, seed: int, relay: Relay) -> tuple[Problem, Route]:
    """A problem with known bandwidths and a chain of servers in any order."""
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=4, relay=relay)
    rates = np.exp2(rng.integers(10, 20, (2, 4)).astype(np.float64))
    network = dataclasses.replace(problem.network, client_bandwidth_bytes_per_s=rates)
    count = int(rng.integers(1, 5))
    servers = rng.permutation(4)[:count].tolist()
    cuts = [0, *sorted(rng.choice(np.arange(1, 6), count - 1, replace=False).tolist()), 6]
    hops = (Hop(server=j, start=cuts[i], end=cuts[i + 1]) for i, j in enumerate(servers))
    drawn = tuple(
        dataclasses.replace(s, wire=str(rng.choice(["none", "uniform_8bit"])))
        for s in problem.servers
    )
    return dataclasses.replace(problem, network=network, servers=drawn), Route(hops=tuple(hops))


def own_s(problem: Problem, client: int, server: int, tokens: int) -> float:
    """Overhead of a hop, and the transfer of so many hidden states there and back."""
    net = problem.network
    assert net.client_bandwidth_bytes_per_s is not None
    volume = 2 * sent_bytes(problem, server, tokens)
    overhead = net.step_overhead_s if tokens == 1 else net.prefill_overhead_s
    return float(overhead + volume / net.client_bandwidth_bytes_per_s[client, server])


def sent_bytes(problem: Problem, server: int, tokens: int) -> int:
    """States of 16 bit; or of 8, after a table of 256 floats and its length."""
    width = problem.model.hidden_size
    if problem.servers[server].wire == "none":
        return 2 * tokens * width
    return tokens * width + 4 * 256 + 8


def timing_of(problem: Problem, server: int) -> Timing:
    timing = problem.servers[server].timing
    assert isinstance(timing, Timing)
    return timing


def answers_s(problem: Problem, client: int, route: Route) -> list[float]:
    """D_i + RTT / 2: when the answer of every server reaches the client."""
    net, reached, found = problem.network, 0.0, []
    for i, hop in enumerate(route.hops):
        j, before = hop.server, route.hops[i - 1].server
        leg = net.client_rtt_s[client, j] if i == 0 else net.server_rtt_s[before, j]
        compute = len(hop) * decode_s(timing_of(problem, j), PROMPT + OUTPUT / 2)
        reached += leg / 2 + own_s(problem, client, j, 1) + compute
        found.append(reached + net.client_rtt_s[client, j] / 2)
    return found


def spokes_s(problem: Problem, client: int, route: Route, *, prompt: bool) -> float:
    """A prompt, or a step, that returns to the client after every hop."""
    total = 0.0
    for hop in route.hops:
        timing = timing_of(problem, hop.server)
        block = prefill_s(timing, PROMPT) if prompt else decode_s(timing, PROMPT + OUTPUT / 2)
        own = own_s(problem, client, hop.server, PROMPT if prompt else 1)
        total += problem.network.client_rtt_s[client, hop.server] + own + len(hop) * block
    return total


def visits(route: Route) -> list[tuple[int, int, int]]:
    return [(h.server, h.start, h.end) for h in route.hops]


def columns(route: Route) -> tuple[np.ndarray, ...]:
    """Server, start, end and the server before of every hop, as links have them."""
    server, start, end = np.array(visits(route)).T
    return server, start, end, np.array([-1, *server[:-1]])


def shape_of(problem: Problem, client: int) -> HopCost:
    return CostModel.of(problem).shape(client, PROMPT, OUTPUT)


@given(seed=st.integers(0, 10**6), client=st.integers(0, 1))
def test_under_client_relay_a_step_returns_after_every_hop(
    make_problem: Make, seed: int, client: int
) -> None:
    problem, route = random_swarm(make_problem, seed, "client")
    relaying, shape = CostModel.of(problem).relaying, shape_of(problem, client)
    expected = spokes_s(problem, client, route, prompt=False)
    assert relaying.step_s(shape, visits(route)) == pytest.approx(expected, rel=1e-12)
    assert relaying.steps_s(shape, *columns(route)).sum() == pytest.approx(expected, rel=1e-12)
    assert relaying.back_s(shape) is None
    assert not relaying.pairs


@given(seed=st.integers(0, 10**6), client=st.integers(0, 1))
def test_under_server_relay_a_step_takes_until_the_last_answer_is_there(
    make_problem: Make, seed: int, client: int
) -> None:
    problem, route = random_swarm(make_problem, seed, "server")
    relaying, shape = CostModel.of(problem).relaying, shape_of(problem, client)
    expected = max(answers_s(problem, client, route))
    assert relaying.step_s(shape, visits(route)) == pytest.approx(expected, rel=1e-12)
    assert relaying.pairs


def test_the_answer_of_a_far_server_in_the_middle_may_be_the_last(tiny: Problem) -> None:
    """RTT to the client 20, 100, 20, between servers 6; overhead 1, compute 10 a server (ms)."""
    timing = Timing(decode_base_s=0.010)
    network = dataclasses.replace(
        tiny.network,
        client_rtt_s=np.array([[0.020, 0.100, 0.020]]),
        server_rtt_s=np.full((3, 3), 0.006),
        relay="server",
    )
    problem = dataclasses.replace(
        tiny,
        servers=tuple(dataclasses.replace(s, timing=timing) for s in tiny.servers[:3]),
        clients=tiny.clients[:1],
        network=network,
    )
    cost = CostModel.of(problem)
    chain = Route(hops=tuple(Hop(server=j, start=j, end=j + 1) for j in range(3)))
    # D = 21, 35 and 49 ms; the answers are there after 31, 85 and 59 ms.
    assert cost.step_s(chain, cost.shape(0, 5, 3)) == pytest.approx(0.085, rel=1e-12)


@given(seed=st.integers(0, 10**6), client=st.integers(0, 1))
def test_links_under_server_relay_add_up_to_the_answer_of_the_last_server(
    make_problem: Make, seed: int, client: int
) -> None:
    problem, route = random_swarm(make_problem, seed, "server")
    relaying, shape = CostModel.of(problem).relaying, shape_of(problem, client)
    back, last = relaying.back_s(shape), route.servers[-1]
    assert back is not None
    step = relaying.steps_s(shape, *columns(route)).sum() + back[last]
    answers = answers_s(problem, client, route)
    assert step == pytest.approx(answers[-1], rel=1e-12)
    assert step <= relaying.step_s(shape, visits(route)) * (1 + 1e-12)
    request = relaying.links_s(shape, *columns(route)).sum() + shape.steps * back[last]
    prompt = spokes_s(problem, client, route, prompt=True)
    assert request == pytest.approx(prompt + (OUTPUT - 1) * answers[-1], rel=1e-12)


@given(seed=st.integers(0, 10**6), client=st.integers(0, 1))
def test_links_under_client_relay_add_up_to_the_request(
    make_problem: Make, seed: int, client: int
) -> None:
    problem, route = random_swarm(make_problem, seed, "client")
    relaying, shape = CostModel.of(problem).relaying, shape_of(problem, client)
    prompt, step = (spokes_s(problem, client, route, prompt=p) for p in (True, False))
    request = prompt + (OUTPUT - 1) * step
    assert relaying.links_s(shape, *columns(route)).sum() == pytest.approx(request, rel=1e-12)


@given(seed=st.integers(0, 10**6), relay=RELAYS, client=st.integers(0, 1))
def test_the_way_into_each_server_is_what_links_pay_before_they_compute(
    make_problem: Make, seed: int, relay: Relay, client: int
) -> None:
    problem, route = random_swarm(make_problem, seed, relay)
    relaying, shape = CostModel.of(problem).relaying, shape_of(problem, client)
    links = relaying.steps_s(shape, *columns(route))
    for i, (hop, before) in enumerate(zip(route.hops, [-1, *route.servers], strict=False)):
        into = relaying.into_s(shape, before)[hop.server]
        run = shape.step_run_s(hop.server, hop.start, hop.end)
        assert into + run == pytest.approx(links[i], rel=1e-12)


@given(seed=st.integers(0, 10**6), relay=RELAYS, client=st.integers(0, 1))
def test_legs_are_the_network_part_of_a_step_to_the_last_server_and_back(
    make_problem: Make, seed: int, relay: Relay, client: int
) -> None:
    problem, route = random_swarm(make_problem, seed, relay)
    relaying, net = CostModel.of(problem).relaying, problem.network
    servers = route.servers
    legs = relaying.legs_s(client, servers)
    if relay == "client":
        assert legs == tuple(net.client_rtt_s[client, list(servers)])
        return
    between = sum(net.server_rtt_s[i, j] for i, j in itertools.pairwise(servers))
    ends = net.client_rtt_s[client, servers[0]] + net.client_rtt_s[client, servers[-1]]
    assert len(legs) == len(servers)
    assert sum(legs) == pytest.approx((between + ends) / 2, rel=1e-12)
    assert legs[0] >= net.client_rtt_s[client, servers[0]] / 2


@given(seed=st.integers(0, 10**6), relay=RELAYS, step=st.booleans())
def test_hops_without_their_order_never_cost_more_than_the_chain(
    make_problem: Make, seed: int, relay: Relay, step: bool
) -> None:
    problem, route = random_swarm(make_problem, seed, relay)
    cost = CostModel.of(problem)
    shapes = [shape_of(problem, c) for c in range(2)]
    hops = cost.relaying.unordered(shapes, step=step)
    servers = list(route.servers)
    for row, shape in enumerate(shapes):
        run = shape.step_run_s if step else shape.run_s
        least = float(hops.own_s[row, servers].sum() + sum(run(*v) for v in visits(route)))
        if hops.half_s is not None and hops.leg_s is not None:
            least += float(hops.half_s[row, servers[0]] + hops.half_s[row, servers[-1]])
            least += float(hops.leg_s[row, servers[1:]].sum())
        whole = cost.step_s(route, shape) if step else cost.route_time(route, shape).total_s
        assert least <= whole * (1 + 1e-12)
        if relay == "client" or len(servers) == 1:
            assert least == pytest.approx(whole, rel=1e-12)


@given(seed=st.integers(0, 10**6), relay=RELAYS)
def test_the_cheapest_hops_of_a_step_never_cost_more_than_the_chain(
    make_problem: Make, seed: int, relay: Relay
) -> None:
    problem, route = random_swarm(make_problem, seed, relay)
    cost = CostModel.of(problem)
    hop, extra = cost.relaying.cheapest_s(cost.step_hop_s, [0, 1])
    for client in range(2):
        shape = shape_of(problem, client)
        run = sum(shape.step_run_s(*v) for v in visits(route))
        least = float(hop[client, list(route.servers)].sum() + run + extra[client])
        assert least <= cost.step_s(route, shape) * (1 + 1e-12)
        if relay == "client":
            assert least == pytest.approx(cost.step_s(route, shape), rel=1e-12)


@given(seed=st.integers(0, 10**6))
def test_the_cheapest_way_into_a_server_is_from_the_client_or_its_nearest_neighbour(
    make_problem: Make, seed: int
) -> None:
    problem, _ = random_swarm(make_problem, seed, "server")
    cost, net = CostModel.of(problem), problem.network
    hop, extra = cost.relaying.cheapest_s(cost.step_hop_s, [0, 1])
    legs = cost.relaying.unordered([shape_of(problem, c) for c in range(2)], step=True).leg_s
    assert legs is not None
    for client in range(2):
        for j in range(4):
            others = [net.server_rtt_s[i, j] for i in range(4) if i != j]
            assert legs[client, j] == min(others) / 2
            leg = min(net.client_rtt_s[client, j], *others) / 2
            assert hop[client, j] == pytest.approx(own_s(problem, client, j, 1) + leg, rel=1e-9)
        assert extra[client] == net.client_rtt_s[client].min() / 2


def test_a_single_server_has_no_way_in_from_another_one(make_problem: Make) -> None:
    problem = make_problem(np.random.default_rng(0), servers=1, relay="server")
    cost = CostModel.of(problem)
    shape = cost.shape(0, PROMPT, 1)
    hops = cost.relaying.unordered([shape], step=False)
    assert hops.leg_s is not None
    assert hops.leg_s.tolist() == [[0.0]]
    hop, extra = cost.relaying.cheapest_s(cost.step_hop_s, [0])
    assert hop[0] + extra[0] == pytest.approx(shape.step_hop_s)


@given(seed=st.integers(0, 10**6), relay=RELAYS, client=st.integers(0, 1))
def test_without_legs_only_what_a_server_takes_by_itself_is_left(
    make_problem: Make, seed: int, relay: Relay, client: int
) -> None:
    problem, _ = random_swarm(make_problem, seed, relay)
    shape = shape_of(problem, client)
    bare = CostModel.of(problem).relaying.without_legs(shape)
    if relay == "client":
        assert bare == shape
        return
    rtt = problem.network.client_rtt_s[client]
    own = [own_s(problem, client, j, 1) for j in range(4)]
    assert bare.step_hop_s == pytest.approx(own, rel=1e-9)
    assert bare.hop_s == pytest.approx(shape.prefill_hop_s + (OUTPUT - 1) * np.array(own), rel=1e-9)
    assert (bare.step_hop_s + rtt) == pytest.approx(shape.step_hop_s, rel=1e-12)
