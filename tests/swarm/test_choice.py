"""The chain of a live session: over who is online, and over who is at work there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from swarmplan.api import plan
from swarmplan.core.errors import NoRouteError
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.scenarios.planfile import plan_document
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.swarm.choice import ChainRequest, Choice, LiveServer, choose_chain
from swarmplan.swarm.present import Present
from swarmplan.swarm.record import LivePlan, read_record, record_of
from swarmplan.swarm.shares import Share, Told

BLOCKS = 8
LONG = ChainRequest(start=0, end=BLOCKS, max_tokens=132, exclude=frozenset(), retry=False)
TEXT = """
format = "swarmplan/scenario/1"
name = "two servers"
[model]
name = "small"
num_blocks = 8
hidden_size = 64
block_mb = 100
cache_bytes_per_token = 1000
[network]
delay = "measured"
step_overhead_ms = 10
rtt_ms = [[0, 20, 30], [20, 0, 30], [30, 30, 0]]
[workload]
streams = [{client = "here", rate_per_s = 0.1, prompt_tokens = 12, output_tokens = 120}]
[planning]
sessions = 1
[devices.kind]
inference_rps = 100
forward_rps = 1000
[[clients]]
id = "here"
[[servers]]
id = "near"
device = "kind"
memory_gb = 8
span = [0, 8]
[[servers]]
id = "next"
device = "kind"
memory_gb = 8
span = [0, 8]
"""


@pytest.fixture(scope="module")
def live_plan(tmp_path_factory: pytest.TempPathFactory) -> LivePlan:
    """Two alike servers that hold everything, one of them a little nearer."""
    path = tmp_path_factory.mktemp("choice") / "two.toml"
    path.write_text(TEXT)
    scenario = load_scenario(path)
    made = plan(scenario.problem, "manual", router="overlap")
    document = plan_document(made, scenario)
    body = record_of(scenario, document, prefix="p", version=1, now_s=0.0, valid_s=100.0)
    return read_record(body, prefix="p", now_s=1.0)


def online(**changes: Any) -> dict[str, LiveServer]:
    one = LiveServer(span=(0, BLOCKS), cache_tokens_left=None, rtt_s=None)
    return {"near": replace(one, **changes), "next": one}


def chosen(live_plan: LivePlan, present: Present | None = None, **more: Any) -> Choice:
    live = more.pop("live", online())
    request = more.pop("request", LONG)
    return choose_chain(live_plan, None, live, request, present=present, **more)


def loaded(sessions: int) -> Present:
    """So many sessions of others at the near server."""
    present = Present()
    share = Share(
        peer="near", sessions=sessions, work_s=0.08, alone_s=0.11, step_s=0.11, steps=200.0
    )
    present.hear({"other": Told(shares=(share,), age_s=0.0)}, 0.0)
    return present


def test_where_nothing_is_known_the_plan_decides_as_if_nobody_were_there(
    live_plan: LivePlan,
) -> None:
    for present in (None, Present()):
        choice = chosen(live_plan, present)
        assert list(choice.chain) == [("near", 0, BLOCKS)]
    (hop,) = choice.hops
    assert hop.alone_s == pytest.approx(0.020 + 0.010 + 8 / 100)
    assert hop.work_s == pytest.approx(0.08)


def test_a_session_goes_where_nobody_is_at_work(live_plan: LivePlan) -> None:
    assert chosen(live_plan, loaded(2)).hops[0].peer == "next"


def test_sessions_of_one_client_are_dealt_out(live_plan: LivePlan) -> None:
    present, taken = Present(), []
    for number in range(8):
        choice = chosen(live_plan, present, number=number)
        present.begin(number, choice.hops, choice.steps)
        taken.append(choice.hops[0].peer)
    assert taken.count("near") == taken.count("next") == 4


def test_a_session_that_chooses_again_does_not_flee_from_itself(live_plan: LivePlan) -> None:
    present = Present()
    choice = chosen(live_plan, present, number=1)
    present.begin(1, choice.hops, choice.steps)
    assert chosen(live_plan, present, number=1).hops[0].peer == "near"
    assert chosen(live_plan, present, number=2).hops[0].peer == "next"


def test_own_hops_alone_tell_of_a_crowd_and_the_plan_holds_again_when_it_is_seen_no_more(
    live_plan: LivePlan,
) -> None:
    present = Present()
    choice = chosen(live_plan, present, number=1)
    present.begin(1, choice.hops, choice.steps)
    for i in range(10):
        present.hop(1, "near", 0.43, 0.43 * i)
    present.end(1)
    assert chosen(live_plan, present, number=2, now_s=5.0).hops[0].peer == "next"
    assert chosen(live_plan, present, number=3, now_s=120.0).hops[0].peer == "near"


def test_a_prompt_that_is_known_makes_the_answer_as_long_as_what_is_left(
    live_plan: LivePlan,
) -> None:
    assert chosen(live_plan).steps == LONG.max_tokens - 12 - 1
    longer = replace(LONG, prompt_tokens=100)
    assert chosen(live_plan, request=longer).steps == LONG.max_tokens - 100 - 1


def test_a_retry_asks_for_the_lost_blocks_among_those_who_are_at_work(live_plan: LivePlan) -> None:
    piece = replace(LONG, start=3, end=6, retry=True, exclude=frozenset({"near"}))
    assert list(chosen(live_plan, loaded(2), request=piece).chain) == [("next", 3, 6)]
    with pytest.raises(NoRouteError, match="blocks 3 to 6 are not all online"):
        chosen(live_plan, request=replace(piece, exclude=frozenset({"near", "next"})))


def test_measured_round_trips_take_the_place_of_planned_ones(live_plan: LivePlan) -> None:
    choice = chosen(live_plan, live=online(rtt_s=0.3))
    assert choice.hops[0].peer == "next"


def test_other_routers_ignore_who_is_at_work(live_plan: LivePlan) -> None:
    by_ws_rr = replace(live_plan, router="ws-rr")
    assert chosen(by_ws_rr, loaded(4)).hops[0].peer == "near"


def test_servers_that_do_not_stand_in_line_have_no_strangers(live_plan: LivePlan) -> None:
    problem: Problem = live_plan.problem
    apart = replace(
        problem, servers=tuple(replace(s, sharing="independent") for s in problem.servers)
    )
    assert not CostModel.of(apart).serial.any()
    assert chosen(replace(live_plan, problem=apart), loaded(8)).hops[0].peer == "near"
    assert np.isfinite(chosen(live_plan, loaded(8)).hops[0].alone_s)
