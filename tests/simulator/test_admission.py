"""The waiting rules side by side on one server with room for one small and one large session."""

import numpy as np
import pytest

from swarmplan.core.names import Admission
from swarmplan.core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from swarmplan.core.workload import Request, Workload
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.admission import Queue, Rule
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.rules import RULES, rule_named


def run(rule: Admission | Rule) -> list[float]:
    """Starts of three sessions: 6 of 10 slots for 10 s; 8 slots; 2 slots. One token is 1 s."""
    problem = Problem(
        model=ModelSpec(
            name="one",
            num_blocks=1,
            hidden_size=8,
            block_bytes=1,
            cache_bytes_per_token=1,
            activation_bytes_per_token=16,
        ),
        servers=(
            Server(
                id="s",
                memory_bytes=101,
                block_bytes=1,
                timing=Timing(decode_base_s=1.0),
                sharing="independent",
            ),
        ),
        clients=(Client(id="c"),),
        network=Network(client_rtt_s=np.zeros((1, 1)), server_rtt_s=np.zeros((1, 1))),
        workload=Workload(),
        planning=Planning(prompt_tokens=1, output_tokens=1, session_tokens=2),
    )
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 1)])
    requests = [
        Request(
            id=i,
            client=0,
            arrival_s=arrival,
            prompt_tokens=reserved - 11,
            output_tokens=11,
            reserved_tokens=reserved,
        )
        for i, (arrival, reserved) in enumerate([(0.0, 60), (1.0, 80), (2.0, 20)])
    ]
    result = simulate(problem, placement, WsRr(cost, placement), requests, admission=rule)
    assert (result.peak_cache_bytes <= 100).all()
    starts: list[float] = result.start_s.tolist()
    return starts


def test_retry_tries_after_1_3_7_and_15_seconds() -> None:
    assert run("retry") == [0.0, 16.0, 2.0]


def test_the_queue_lets_nobody_overtake() -> None:
    assert run("queue") == [0.0, 10.0, 10.0]


def test_a_backfilling_queue_lets_in_what_fits() -> None:
    assert run(Queue(backfill=True)) == [0.0, 10.0, 2.0]


def test_reserve_starts_at_the_retry_instant_after_the_earlier_holders() -> None:
    # The second books 100 - 60 - 80 < 0: free at 10 s, raw wait 9, start after 15. The third
    # counts those 80 too: free at 10 s (raw wait 8), start after 15.
    assert run("reserve") == [0.0, 16.0, 17.0]


def test_notify_starts_as_soon_as_the_earlier_holders_have_left() -> None:
    assert run("notify") == [0.0, 10.0, 10.0]


def test_every_rule_has_its_name() -> None:
    assert {name: type(rule_named(name)).__name__ for name in RULES} == {
        "retry": "Retry",
        "queue": "Queue",
        "reserve": "Reserve",
        "notify": "Reserve",
        "sized": "Sized",
        "ordered": "Ordered",
    }


@pytest.mark.parametrize("rule", sorted(RULES))
def test_rules_keep_nothing_between_runs(rule: Admission) -> None:
    assert run(rule) == run(rule)
