"""Servers under a plan: re-placed under traffic without a gap; forged plans refused."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmplan.swarm.loopback import QUIET, LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import run_to_end
from swarmplan.swarm.trial import ClientProcess, answers, operate, publish_spans

pytestmark = pytest.mark.live
FORGE = Path(__file__).with_name("forge.py")
Spans = dict[str, tuple[int, int]]
BLOCKS = 8
PROMPT = [1, 2, 3, 4, 5]
BEFORE = {"A": (0, 4), "B": (4, 8), "C": (2, 8)}
AFTER = {"A": (0, 8), "B": (0, 4), "C": (4, 8)}


@pytest.fixture(scope="module")
def keys(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("operator", "stranger"):
        operate(folder / f"{name}.log", "keygen", str(folder / name))
    assert (folder / "operator").stat().st_mode & 0o777 == 0o600
    return folder


@pytest.fixture(scope="module")
def planned(
    tiny_model: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LoopbackSwarm]:
    """Three servers under a plan, A 0:4, B 4:8, C 2:8 as long as none is published."""
    folder = tmp_path_factory.mktemp("planned")
    follow = ("--operator-key", str(keys / "operator.pub"), "--follow", "1", "--drain", "3")
    with LoopbackSwarm(folder=folder, model=tiny_model, update_period_s=2.0) as swarm:
        # One of them runs waiting steps together: that goes on after its blocks have changed.
        ways = {"A": (*follow, "--batch-steps"), "B": follow, "C": follow}
        swarm.start_servers(
            [ServerSpec(name=n, blocks=span, planned=ways[n]) for n, span in BEFORE.items()]
        )
        yield swarm


def wait_for_spans(
    watcher: ClientProcess, swarm: LoopbackSwarm, spans: Spans, limit_s: float
) -> None:
    wanted = {swarm.peers[name]: ["online", *span] for name, span in spans.items()}
    watcher.wait_for(
        lambda events: [e["live"] for e in events if e["event"] == "spans"][-1:] == [wanted],
        limit_s=limit_s,
    )


def test_servers_move_under_traffic_without_a_failed_request_or_a_dark_block(
    planned: LoopbackSwarm, keys: Path, tiny_model: Path, tmp_path: Path
) -> None:
    from swarmplan.swarm.tiny_model import local_tokens

    publish_spans(planned, tmp_path, keys / "operator", BEFORE)
    stop = tmp_path / "stop"
    watch = {"observe_s": 0.2, "blocks": BLOCKS, "until": str(stop)}
    traffic = {
        "until": str(stop),
        "threads": 2,
        "config": {"request_timeout": 20, "update_period": 2},
        "routing": {"public_key": str(keys / "operator.pub"), "refresh_s": 1.0},
        "requests": [
            {"id": f"{i}", "prompt": PROMPT, "new_tokens": 30, "pause_s": 0.05} for i in range(2)
        ],
    }
    with (
        ClientProcess(swarm=planned, name="watch", job=watch) as watcher,
        ClientProcess(swarm=planned, name="traffic", job=traffic) as client,
    ):
        client.wait_for(lambda events: any(e["event"] == "done" for e in events), limit_s=60)
        said = publish_spans(planned, tmp_path, keys / "operator", AFTER)
        order = said.split("moves: ")[-1]
        # A reloads only after B has taken over blocks 0 and 1; C may go at any time.
        assert order.index(planned.peers["B"]) < order.index(planned.peers["A"]), order
        wait_for_spans(watcher, planned, AFTER, limit_s=90)
        served = len(answers(client.events()))
        client.wait_for(lambda events: len(answers(events)) >= served + 3, limit_s=60)
        stop.touch()
        got = answers(client.finish(limit_s=60))
        spans = [e["live"] for e in watcher.events() if e["event"] == "spans"]
    wanted = local_tokens(tiny_model, [PROMPT], 30)[0]
    assert {e["event"] for e in got.values()} == {"done"}
    assert all(e["tokens"] == wanted for e in got.values())
    for live in spans:
        online = {b for state, a, z in live.values() if state == "online" for b in range(a, z)}
        assert online == set(range(BLOCKS))


def test_forged_plans_are_refused(planned: LoopbackSwarm, keys: Path, tmp_path: Path) -> None:
    """Another key's plan is not looked at; a record under the operator's name with another
    signature is refused and logged."""
    before = planned.children["A"].text().count("plan accepted")
    publish_spans(planned, tmp_path, keys / "stranger", BEFORE)
    arguments = [planned.initial_peer, planned.prefix, str(keys)]
    run = [sys.executable, str(FORGE), *arguments]
    forged = run_to_end(run, tmp_path / "forge.log", limit_s=90, environment=QUIET)
    assert "stored" in forged.text, forged.text
    for _ in range(100):
        log = planned.children["A"].text()
        if "bears no valid signature" in log:
            break
        time.sleep(0.2)
    assert "bears no valid signature" in log
    assert log.count("plan accepted") == before
