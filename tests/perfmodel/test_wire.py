"""Bytes of hidden states on the wire, and what they take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from swarmplan.core.accuracy import Accuracy
from swarmplan.core.plan import Hop, Route
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.fluid import stages_of
from swarmplan.perfmodel.wire import Wires

WIRES = ("none", "uniform_8bit", "quantile_8bit", "blockwise_8bit")


def wired(problem: Problem, *, rate: float = 1e6, **network: Any) -> Problem:
    """Four servers, one for each format, states of 4096 values and links of some bandwidth."""
    model = replace(problem.model, hidden_size=4_096, activation_bytes_per_token=8_192)
    servers = tuple(replace(s, wire=w) for s, w in zip(problem.servers, WIRES, strict=True))
    given: dict[str, Any] = {"client_bandwidth_bytes_per_s": np.full((2, 4), rate), **network}
    return replace(problem, model=model, servers=servers, network=replace(problem.network, **given))


def test_a_message_is_as_long_as_hivemind_makes_it(tiny: Problem) -> None:
    # Measured: lengths of serialised tensors of (1, tokens, 4096) of 16 bit, hivemind 1.1.12.
    wires = Wires.of(wired(tiny))
    assert wires.bytes(1).tolist() == [8_192, 5_128, 5_128, 5_140]
    assert wires.bytes(128).tolist() == [1_048_576, 525_320, 525_320, 525_840]


def test_a_hop_takes_its_own_servers_bytes_there_and_back(tiny: Problem) -> None:
    packing = (("uniform_8bit", 0.002),)
    cost = CostModel(wired(tiny, wire_s_per_token=packing))
    plain = CostModel(wired(tiny, client_bandwidth_bytes_per_s=None))
    more = (cost.step_hop_s - plain.step_hop_s)[0]
    assert more == pytest.approx([0.016384, 0.010256 + 0.002, 0.010256, 0.01028])
    more = cost.prefill_hop_s(1, 10) - plain.prefill_hop_s(1, 10)
    table = 1_024 + 8
    assert more[1] == pytest.approx(2 * (table + 40_960) / 1e6 + 0.02)


def test_in_a_pipeline_the_sender_says_by_what_states_go(tiny: Problem) -> None:
    rates = np.where(np.eye(4, dtype=bool), np.inf, 1e6)
    problem = wired(tiny, relay="pipeline", client_bandwidth_bytes_per_s=None,
                    server_bandwidth_bytes_per_s=rates)  # fmt: skip
    cost = CostModel(problem)
    route = Route(hops=tuple(Hop(server=j, start=i, end=i + 1) for i, j in enumerate((1, 0, 3))))
    tasks = cost.tasks(route, 0, 10)
    assert tasks.send_s.tolist() == [0.0, 0.005128, 0.008192]
    assert tasks.first_send_s.tolist() == pytest.approx([0.0, 0.041992, 0.08192])
    flow = stages_of(cost, np.full(2, 0.5))
    assert flow.step_send_s[[1, 0, 3], [0, 3, 1]] == pytest.approx([0.005128, 0.008192, 0.00514])
    prompt = tiny.planning.prompt_tokens
    assert flow.prompt_send_s[1, 0] == pytest.approx((1_032 + 4_096 * prompt) / 1e6)
    free = CostModel(replace(problem, network=replace(problem.network,
                     server_bandwidth_bytes_per_s=None)))  # fmt: skip
    longer = cost.step_s(route, cost.shape(0, 10, 3)) - free.step_s(route, free.shape(0, 10, 3))
    assert longer == pytest.approx(0.005128 + 0.008192)


def test_every_hop_harms_by_its_wire_besides_its_blocks(tiny: Problem) -> None:
    harm = tuple((w, 0.1 * i) for i, w in enumerate(WIRES) if i)
    accuracy = Accuracy(harm=(("", (1.0,) * 6),), budgets=(9.0, 9.0), wire=harm)
    cost = CostModel(replace(wired(tiny), accuracy=accuracy))
    hops = (Hop(server=0, start=0, end=2), Hop(server=3, start=2, end=3),
            Hop(server=1, start=3, end=6))  # fmt: skip
    assert cost.route_harm(Route(hops=hops)) == pytest.approx(6.0 + 0.0 + 0.3 + 0.1)
    assert cost.harm(np.array([0, 2]), np.array([0, 0]), np.array([1, 3])).tolist() == (
        pytest.approx([1.0, 3.2])
    )


def test_a_wire_of_which_no_harm_is_known_is_refused(tiny: Problem) -> None:
    accuracy = Accuracy(harm=(("", (0.0,) * 6),), budgets=(9.0, 9.0))
    with pytest.raises(ValueError, match=r"no harm of a hop by '[a-z]*_8bit'"):
        replace(wired(tiny), accuracy=accuracy)
    server = replace(tiny.servers[0], wires=("none", "uniform_8bit"))
    assert server.hosting_as(server.hostings[1]).wire == "uniform_8bit"
    with pytest.raises(ValueError, match="cannot send by 'quantile_8bit'"):
        server.hosting_as(server.hosting._replace(wire="quantile_8bit"))
