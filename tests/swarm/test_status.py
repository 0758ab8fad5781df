"""One screen about a swarm: what is served, what is slow, whose word it is, what is to be done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from swarmplan.swarm.planseen import PlanSeen
from swarmplan.swarm.record import Hosting
from swarmplan.swarm.status import Status, short_names, status_of
from swarmplan.swarm.steps import SLACK_S, SLOW, Step
from swarmplan.swarm.verdict import State, Verdict
from swarmplan.views.status import (
    facts,
    hop_rows,
    lasting,
    print_status,
    server_rows,
    status_document,
)

from .looks import peer, plan_of, server, stated, turn

HALVES = [server(0, 0, 16), server(1, 16, 32)]


def status(servers: list[Any], **more: Any) -> Status:
    return status_of(turn(servers, **more), confirm=3)


def words(found: Status) -> dict[str, str]:
    return dict(facts(found))


def test_a_step_is_the_way_the_overhead_of_a_hop_and_the_work() -> None:
    found = status(HALVES)
    # 20 ms there and back, 10 ms of a hop, 16 blocks of 2 ms.
    assert [s.step.predicted_s for s in found.servers if s.step] == pytest.approx([0.062] * 2)
    assert [(h.server, h.start, h.end) for h in found.hops] == [
        ("server-0", 0, 16),
        ("server-1", 16, 32),
    ]
    assert words(found)["chain"] == (
        "server-0[0:16] > server-1[16:32]: 124 ms a token predicted; most of it at server-0"
    )


def test_a_servers_own_clock_and_a_probe_from_here_both_measure() -> None:
    told = server(0, 0, 16, stated=stated(16, step_s=0.1))
    by_server = status([told, HALVES[1]]).hops[0].step
    assert by_server.clock == "server"
    assert by_server.measured_s == pytest.approx(0.13)
    assert by_server.slow
    by_probe = status([told, HALVES[1]], probed_s={peer(0): 0.07}).hops[0].step
    assert (by_probe.measured_s, by_probe.clock) == (0.07, "here")
    assert not by_probe.slow


def test_a_hop_over_a_part_of_a_span_takes_its_share_of_what_was_measured() -> None:
    servers = [server(0, 0, 24, stated=stated(24, step_s=0.24)), server(1, 16, 32)]
    found = status(servers)
    hop = next(h for h in found.hops if h.server == "server-0")
    assert hop.step.measured_s == pytest.approx(0.03 + 0.01 * (hop.end - hop.start))


@pytest.mark.parametrize(("extra_s", "slow"), [(1e-6, True), (-1e-6, False)])
def test_slow_begins_at_a_multiple_and_some_milliseconds(extra_s: float, slow: bool) -> None:
    step = Step(predicted_s=0.1, measured_s=SLOW * 0.1 + SLACK_S + extra_s, clock="here")
    assert step.slow is slow
    assert not Step(predicted_s=0.1).slow


def test_the_slow_hop_is_named() -> None:
    slow = server(1, 16, 32, stated=stated(16, step_s=0.5))
    found = status([HALVES[0], slow])
    assert "SLOW: server-1" in words(found)["chain"]
    assert [row[-1] for row in hop_rows(found)] == ["", "slow, longest"]
    assert found.slowest is not None
    assert found.slowest.server == "server-1"


def test_blocks_that_nobody_or_one_alone_serves_are_told() -> None:
    assert words(status(HALVES))["blocks"] == "all served; 32 of 32 by one server alone"
    twice = [*HALVES, server(2, 0, 16), server(3, 16, 32)]
    assert words(status(twice))["blocks"] == "all served, each by two servers at least"
    dark = status([server(0, 0, 12), HALVES[1]])
    assert words(dark)["blocks"] == "NOBODY serves 12:16"
    assert (dark.route, dark.dark) == (None, (12, 13, 14, 15))
    assert words(dark)["chain"] == "none: not all blocks are served"


def test_a_full_server_is_on_no_chain() -> None:
    found = status([*HALVES, server(2, 0, 32, cache_tokens_left=0)])
    assert {h.server for h in found.hops} == {"server-0", "server-1"}
    notes = {row[0]: row[-1] for row in server_rows(found)}
    assert notes["server-2"] == "full"


def test_who_has_its_blocks_and_hosts_them_otherwise_is_not_in_place() -> None:
    hosting = Hosting(precision={peer(0): "int8", peer(1): "int8"})
    servers = [server(0, 0, 16, quant_type="int8"), server(1, 16, 32, quant_type="none")]
    found = status(servers, plan=plan_of(servers, hosting=hosting))
    assert found.in_place == 1
    notes = {row[0]: row[-1] for row in server_rows(found)}
    assert notes == {"server-0": "", "server-1": "not hosted as planned"}


def test_the_plan_is_told_with_signature_age_and_end() -> None:
    spans = {peer(0): (0, 16), peer(1): (0, 16)}
    found = status(HALVES, plan=plan_of(HALVES, spans=spans))
    assert words(found)["plan"] == (
        "version 7, signature checked, 10 min old, in force for 2 h more; "
        "1 of its 2 servers in place"
    )
    planned = {row[0]: row[2] for row in server_rows(found)}
    assert planned == {"server-0": "here", "server-1": "0:16"}


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (PlanSeen(), "not looked for"),
        (PlanSeen(standing="none"), "none that bears this key's signature"),
        (PlanSeen(standing="expired", version=3), "version 3 has expired"),
        (
            PlanSeen(standing="refused", reason="it is unsound"),
            "signed, but refused: it is unsound",
        ),
    ],
)
def test_a_plan_that_is_not_followed_is_told_with_its_reason(plan: PlanSeen, said: str) -> None:
    found = status(HALVES, plan=plan)
    assert said in words(found)["plan"]
    assert {row[2] for row in server_rows(found)} == {"-"}


def test_what_the_watcher_waits_for_is_told() -> None:
    judged = Verdict(
        action="confirm", state=State(), facts={"moves": 2, "seen": 1, "reasons": ["it pays"]}
    )
    found = status(HALVES, action="confirm", reason="it pays", judged=judged)
    assert words(found)["watcher"] == (
        "would wait: 1 of 3 reads in a row found 2 moves worth it (it pays)"
    )


def test_servers_tell_cache_work_and_the_plan_they_follow() -> None:
    servers = [
        server(0, 0, 16, stated=stated(16, plan_version=6), cache_tokens_left=65_536),
        server(1, 16, 32, state="joining"),
        server(2, 16, 32),
    ]
    found = status(servers, plan=plan_of(servers))
    rows = {row[0]: row for row in server_rows(found)}
    assert rows["server-0"][3:6] == ["yes", "25 %", "25 %"]
    assert rows["server-0"][-1] == "older plan"
    assert rows["server-1"][3:] == ["-", "-", "-", "-", "-", "joining"]
    assert [row[0] for row in server_rows(found)][-1] == "server-2"


def test_names_are_short_and_no_two_alike() -> None:
    servers = [
        server(0, 0, 16, public_name="twin"),
        server(1, 0, 16, public_name="twin"),
        server(2, 0, 16, public_name=""),
        server(3, 0, 16, public_name="x" * 60),
        server(4, 0, 16, public_name="alone"),
    ]
    names = short_names(servers)
    assert len(set(names.values())) == 5
    assert all(len(name) <= 18 for name in names.values())
    assert names[peer(4)] == "alone"
    assert names[peer(0)] == "twin~endppp"


def test_everything_is_in_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    servers = [server(0, 0, 16, stated=stated(16, step_s=0.5)), HALVES[1]]
    found = status(servers, plan=plan_of(servers), warnings=("somebody lies",))
    document = json.loads(json.dumps(status_document(found)))
    assert document["servers"][0]["step"]["measured_by"] == "server"
    assert document["chain"][0] == {
        "server": "server-0",
        "start_block": 0,
        "end_block": 16,
        "predicted_s": pytest.approx(0.062),
        "measured_s": pytest.approx(0.53),
        "measured_by": "server",
        "slow": True,
        "longest": True,
    }
    assert (document["plan"]["version"], document["plan"]["in_place"]) == (7, 2)
    assert document["warnings"] == ["somebody lies"]
    print_status(found)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines if "\t" not in line)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (59, "59 s"), (600, "10 min"), (7_200, "2 h"), (86_400 * 30, "30 days")],
)
def test_times_are_told_in_their_own_unit(seconds: float, said: str) -> None:
    assert lasting(seconds) == said
