"""Failures, joins and overflows, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swarmplan.core.events import ServerEvent
from swarmplan.core.names import Admission
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from swarmplan.core.workload import Request, Workload
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult

A, B, C = range(3)
#: 10 prompt tokens, 11 output tokens: first token after 0.6 s, one more every 0.4 s.
REQUEST = Request(
    id=0, client=0, arrival_s=0.0, prompt_tokens=10, output_tokens=11, reserved_tokens=21
)

#: 0.01 s per prompt token, 0.05 s a step.
TIMING = Timing(decode_base_s=0.05, prefill_per_token_s=0.01)


@pytest.fixture
def problem() -> Problem:
    """A 0:2 and B, C 2:4; RTT 0.1, 0.1, 0.2 s."""
    return Problem(
        model=ModelSpec(
            name="four",
            num_blocks=4,
            hidden_size=8,
            block_bytes=1_000,
            cache_bytes_per_token=1,
            activation_bytes_per_token=16,
        ),
        servers=tuple(
            Server(
                id=name,
                memory_bytes=2_100,
                block_bytes=1_000,
                timing=TIMING,
                sharing="independent",
            )
            for name in "ABC"
        ),
        clients=(Client(id="client"),),
        network=Network(
            client_rtt_s=np.array([[0.1, 0.1, 0.2]]), server_rtt_s=np.full((3, 3), 0.1)
        ),
        workload=Workload(),
        planning=Planning(prompt_tokens=10, output_tokens=11, session_tokens=21, sessions=1),
    )


def placed(problem: Problem, **pools: int) -> Placement:
    """A, B and C with pools of 100 bytes unless told otherwise."""
    cache = [pools.get(name, 100) for name in "ABC"]
    return CostModel.of(problem).placed([(0, 2), (2, 4), (2, 4)], cache_bytes=cache)


def run(
    problem: Problem,
    placement: Placement,
    *requests: Request,
    events: tuple[ServerEvent, ...] = (),
    detection_s: float = 0.0,
    admission: Admission = "retry",
) -> SimulationResult:
    return simulate(
        problem,
        placement,
        WsRr(CostModel.of(problem), placement),
        requests or [REQUEST],
        admission=admission,
        events=events,
        detection_s=detection_s,
    )


def down(server: int, at_s: float) -> ServerEvent:
    return ServerEvent(time_s=at_s, server=server, up=False)


def up(server: int, at_s: float) -> ServerEvent:
    return ServerEvent(time_s=at_s, server=server, up=True)


def test_without_failure_the_request_takes_its_route_time(problem: Problem) -> None:
    result = run(problem, placed(problem))
    assert result.ttft_s[0] == pytest.approx(0.6)
    assert result.finish_s[0] == pytest.approx(0.6 + 10 * 0.4)
    assert result.tpot_s[0] == pytest.approx(0.4)


def test_a_lost_hop_is_replaced_and_sent_prompt_and_tokens_again(problem: Problem) -> None:
    # At 2.0 s four tokens are there (0.6, 1.0, 1.4, 1.8), and A's answer to the next step; B is
    # asked at 2.05 s. Noticed at 2.55 s: A takes a step (0.2), C gets 14 tokens (0.2 + 2 * 0.14):
    # token 5 at 3.23 s; six more at 0.2 + 0.3 s.
    result = run(problem, placed(problem), events=(down(B, 2.0),), detection_s=0.5)
    assert result.finish_s[0] == pytest.approx(3.23 + 6 * 0.5)
    assert result.ttft_s[0] == pytest.approx(0.6)
    assert result.replays.tolist() == [1]
    route = result.routes[0]
    assert route is not None
    assert route.servers == (A, C)
    # A computes the prompt and every step, the one that was lost twice; B the prompt and three
    # steps, C the replay and six.
    busy = result.compute_busy_frac * result.end_s
    assert busy == pytest.approx([0.2 + 11 * 0.1, 0.2 + 3 * 0.1, 0.28 + 6 * 0.1])


def test_a_failure_in_the_prompt_sends_the_prompt_again(problem: Problem) -> None:
    # Nothing is there at 0.5 s: A 0.3 s, C 0.2 + 0.2 s, then ten steps.
    result = run(problem, placed(problem), events=(down(B, 0.5),))
    assert result.ttft_s[0] == pytest.approx(0.5 + 0.3 + 0.4)
    assert result.finish_s[0] == pytest.approx(1.2 + 10 * 0.5)
    # A gets the whole prompt twice, B works on it from 0.35 s on, C gets it and ten steps.
    busy = result.compute_busy_frac * result.end_s
    assert busy == pytest.approx([0.4 + 10 * 0.1, 0.15, 0.2 + 10 * 0.1])


def test_a_failure_after_the_last_token_changes_nothing(problem: Problem) -> None:
    calm = run(problem, placed(problem))
    result = run(problem, placed(problem), events=(down(B, float(calm.finish_s[0])),))
    assert result.finish_s[0] == calm.finish_s[0]
    assert result.replays.tolist() == [0]


def test_without_another_server_the_session_waits_for_the_return(problem: Problem) -> None:
    # B is asked at 2.05 s. Tries then, at 3.05 and 5.05 s; B is back at 5 s. Both get 14 tokens
    # (0.38 each): token 5 at 5.81 s.
    result = run(problem, placed(problem, C=0), events=(down(B, 2.0), up(B, 5.0)))
    assert result.finish_s[0] == pytest.approx(5.81 + 6 * 0.4)
    assert result.tries.tolist() == [2]
    assert result.replays.tolist() == [1]


def test_without_any_server_left_the_session_is_rejected_not_lost(problem: Problem) -> None:
    result = run(problem, placed(problem, C=0), events=(down(B, 2.0),))
    assert result.status == ("rejected",)
    assert result.reason == ("no-route",)
    assert result.first_token_s[0] == pytest.approx(0.6)
    assert result.end_s == pytest.approx(2.05)


def test_two_losses_before_the_first_is_noticed_are_mended_together(problem: Problem) -> None:
    # B is asked at 2.05 s. Both hops are gone at 2.2 s; both return at 2.3 s, noticed at 3.05 s.
    # The lost servers are avoided while mending, so the session comes back as a whole: 14 tokens
    # to each, 0.76 s.
    events = (down(B, 2.0), down(A, 2.2), up(A, 2.3), up(B, 2.3))
    result = run(problem, placed(problem, C=0), events=events, detection_s=1.0)
    assert result.finish_s[0] == pytest.approx(3.81 + 6 * 0.4)
    assert result.peak_cache_bytes.tolist() == [42, 42, 0]


@pytest.mark.parametrize("admission", ["retry", "queue", "reserve", "notify", "sized", "ordered"])
def test_a_join_serves_those_who_waited_for_it(problem: Problem, admission: Admission) -> None:
    events = (up(B, 3.0), down(C, 0.0))
    result = run(problem, placed(problem), events=events, admission=admission)
    assert result.start_s[0] == pytest.approx(3.0)
    assert result.status == ("completed",)


def test_a_booked_session_chooses_again_when_its_server_fails(problem: Problem) -> None:
    requests = [replace(REQUEST, id=i) for i in range(2)]
    placement = placed(problem, B=42, C=42)
    plain = run(problem, placement, *requests, admission="reserve")
    assert [r.servers for r in plain.routes if r] == [(A, B), (A, C)]
    only = placed(problem, B=42, C=0)
    booked = run(problem, only, *requests, admission="notify")
    assert booked.start_s.tolist() == pytest.approx([0.0, 4.6])
    # B is gone from 1.1 to 2 s. Both try again at 2.1 s, the booked one first: it runs until
    # 6.7 s. The other had made two tokens: 12 to A and B take 0.68 s, then eight steps.
    events = (down(B, 1.1), up(B, 2.0))
    failed = run(problem, only, *requests, admission="notify", events=events)
    assert failed.start_s.tolist() == pytest.approx([0.0, 2.1])
    assert failed.finish_s.tolist() == pytest.approx([6.7 + 0.68 + 8 * 0.4, 6.7])


def test_an_output_beyond_its_reservation_grows_in_place_when_there_is_room(
    problem: Problem,
) -> None:
    short = replace(REQUEST, reserved_tokens=15)
    result = run(problem, placed(problem), short)
    assert result.finish_s[0] == pytest.approx(4.6)
    assert result.overflows.tolist() == [1]
    assert result.replays.tolist() == [0]
    assert result.peak_cache_bytes.tolist() == [42, 42, 0]


def test_an_output_beyond_its_reservation_comes_back_later_when_there_is_none(
    problem: Problem,
) -> None:
    # Two sessions of 15 tokens fit 60 bytes on two blocks. Both are full with five tokens at
    # 2.2 s: the first gives up its cache, the second grows into it and ends at 4.6 s. Tries at
    # 2.2, 3.2 and 5.2 s: 15 tokens to A and B take 0.8 s, then five steps of 0.4 s.
    requests = [replace(REQUEST, id=i, reserved_tokens=15) for i in range(2)]
    result = run(problem, placed(problem, A=60, B=60, C=0), *requests)
    assert result.overflows.tolist() == [1, 1]
    assert result.finish_s.tolist() == pytest.approx([5.2 + 0.8 + 5 * 0.4, 4.6])
    assert result.replays.tolist() == [1, 0]
    assert result.wait_s.tolist() == [0.0, 0.0]
    assert result.peak_cache_bytes.tolist() == [60, 60, 0]


def test_an_output_that_fits_nowhere_is_rejected_when_it_grows(problem: Problem) -> None:
    short = replace(REQUEST, reserved_tokens=15)
    result = run(problem, placed(problem, A=30), short)
    assert result.reason == ("too-large",)


def test_a_testbed_constant_delays_every_opening_and_is_printed(problem: Problem) -> None:
    delayed = replace(problem, alloc_delay_s=5.0, session_setup_s=0.5)
    result = run(delayed, placed(delayed))
    assert result.ttft_s[0] == pytest.approx(5.5 + 0.6)
    assert result.wait_s[0] == 0.0
    assert result.alloc_delay_s == 5.0
