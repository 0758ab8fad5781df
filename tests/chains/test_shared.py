"""What uplinks let through bounds what a swarm sustains; it is reached where nothing else binds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.capacity import most_per_s, planned_mix
from swarmplan.chains.shared import Sent, most_shared_per_s
from swarmplan.chains.sustain import sustained
from swarmplan.core.names import Relay
from swarmplan.core.problem import Problem
from swarmplan.core.uplinks import Uplink
from swarmplan.perfmodel.cost import CostModel
from swarmplan.tests.simulator.test_engine import random_placement, random_problem
from swarmplan.tests.simulator.test_uplinks import crossed, shared, simulated


def behind(problem: Problem, *uplinks: Uplink, relay: Relay = "client") -> CostModel:
    """Servers with room for many sessions, and at most five blocks each."""
    network = replace(problem.network, uplinks=uplinks, relay=relay)
    servers = tuple(replace(s, memory_bytes=10**6, max_blocks=5) for s in problem.servers)
    return CostModel.of(replace(problem, servers=servers, network=network))


def test_a_clients_requests_go_over_its_uplink_once_for_every_visit(tiny: Problem) -> None:
    # 11 + 10 hidden states of 128 bytes, half of the requests; no server hosts all of the model, so
    # that 2 are visited at least.
    home = Uplink(name="home", clients=(0,), up_bytes_per_s=2_688.0)
    cost = behind(tiny, home)
    mix = planned_mix(cost.problem)
    assert most_shared_per_s(cost, mix, mix.share) == pytest.approx(1.0 / (0.5 * 2))
    assert most_per_s(cost, mix) == pytest.approx(1.0)
    found = sustained(cost, cost.placed([(0, 4), (4, 6), (0, 3), (3, 5)]), mix)
    assert found.rate_per_s == pytest.approx(1.0)
    assert found.uplink_frac[0] == pytest.approx(1.0)


def test_what_servers_hand_on_counts_for_the_chains_that_cross(tiny: Problem) -> None:
    site = Uplink(name="site", servers=(0, 1), up_bytes_per_s=2_688.0)
    cost = behind(tiny, site, relay="pipeline")
    mix = planned_mix(cost.problem)
    assert most_shared_per_s(cost, mix, mix.share) == math.inf
    apart = sustained(cost, cost.placed([(0, 4), (0, 0), (4, 6), (0, 0)]), mix)
    assert apart.rate_per_s == pytest.approx(1.0)
    inside = sustained(cost, cost.placed([(0, 4), (4, 6), (0, 0), (0, 0)]), mix)
    assert inside.rate_per_s > 1.0
    assert (inside.uplink_frac == 0).all()


@given(st.integers(0, 10_000))
def test_what_a_placement_sustains_is_within_the_bound_and_its_uplinks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = shared(random_problem(rng), rng, rate=2e4)
    relays: tuple[Relay, ...] = ("client", "server", "pipeline")
    network = replace(problem.network, relay=relays[int(rng.integers(3))])
    cost = CostModel.of(replace(problem, network=network))
    mix, placement = planned_mix(problem), random_placement(rng, problem)
    found = sustained(cost, placement, mix)
    assert (found.uplink_frac <= 1 + 1e-7).all()
    assert found.rate_per_s <= most_per_s(cost, mix) * (1 + 1e-6)


@pytest.mark.slow
@given(st.integers(0, 10_000))
def test_a_request_takes_of_uplinks_what_it_is_simulated_to_send(seed: int) -> None:
    problem, found = simulated(seed, rate=2e4, count=1)
    route = found.routes[0]
    if route is None or not all(problem.drafts[0].tokens == 0 for _ in problem.clients):
        return
    mix = planned_mix(problem)
    alone = type(mix)(
        client=found.client[:1],
        prompt_tokens=found.prompt_tokens[:1],
        output_tokens=found.output_tokens[:1],
        reserved_tokens=found.reserved_tokens[:1],
        share=np.ones(1),
    )
    rates = [(u.up_bytes_per_s, u.down_bytes_per_s) for u in problem.network.uplinks]
    expected = crossed(problem, found, 0, route) / np.array(rates)
    seconds = Sent(CostModel.of(problem), alone).chain_s(np.array(route.servers))
    assert seconds == pytest.approx(expected.reshape(-1))
