"""Reading a live swarm, also one in which a thousand announcements are hostile."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmplan.scenarios.scenario import load_scenario
from swarmplan.swarm.loopback import QUIET, LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import Ended, run_to_end
from swarmplan.swarm.trial import ClientProcess, answers, operate, publish_spans

pytestmark = pytest.mark.live

FLOOD = Path(__file__).with_name("flood.py")


def inspect(swarm: LoopbackSwarm, out: Path) -> Ended:
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "inspect"]
    command += ["--initial-peers", swarm.initial_peer, "--model", str(swarm.model)]
    command += ["--prefix", swarm.prefix, "-o", str(out)]
    return run_to_end(command, out.with_suffix(".log"), limit_s=60, environment=QUIET)


def test_a_live_swarm_is_read_into_a_scenario(three_servers: LoopbackSwarm, tmp_path: Path) -> None:
    done = inspect(three_servers, tmp_path / "live.toml")
    assert done.code == 0, done.text
    problem = load_scenario(tmp_path / "live.toml").problem
    spans = {s.id: (s.pinned.start, s.pinned.end) for s in problem.servers if s.pinned}
    wanted = {"A": (0, 4), "B": (3, 8), "C": (4, 8)}
    assert spans == {three_servers.peers[name]: span for name, span in wanted.items()}
    assert problem.servers[0].inference_rps == pytest.approx(2_000.0)
    assert 0 < problem.network.client_rtt_s.max() < 0.5


@pytest.fixture(scope="module")
def flooded(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LoopbackSwarm, Path]]:
    """One server under a plan; then a thousand hostile announcements, some with subkeys that are
    no text or that bear the operator's name."""
    folder = tmp_path_factory.mktemp("one")
    operate(folder / "keygen.log", "keygen", str(folder / "key"))
    follow = ("--operator-key", str(folder / "key.pub"), "--follow", "1")
    with LoopbackSwarm(folder=folder / "swarm", model=tiny_model) as swarm:
        swarm.start_servers([ServerSpec(name="A", blocks=(0, 8), planned=follow)])
        publish_spans(swarm, folder, folder / "key", {"A": (0, 8)})
        public = (folder / "key.pub").read_text().strip()
        arguments = json.dumps([[swarm.initial_peer], swarm.prefix, 1_000, public])
        command = [sys.executable, str(FLOOD), arguments]
        done = run_to_end(command, folder / "flood.log", limit_s=60, environment=QUIET)
        assert int(done.text.split()[-1]) > 940, done.text
        yield swarm, folder


def test_a_thousand_hostile_announcements_do_not_break_inspect(
    flooded: tuple[LoopbackSwarm, Path], tmp_path: Path
) -> None:
    swarm, _ = flooded
    done = inspect(swarm, tmp_path / "flooded.toml")
    assert done.code == 0, done.text
    problem = load_scenario(tmp_path / "flooded.toml").problem
    # Only who answers counts, so nothing of the flood is left to steer a planner.
    assert {s.id for s in problem.servers} == set(swarm.peers.values())
    assert "warning:" in done.text


def test_clients_keep_working_in_a_flooded_swarm(
    flooded: tuple[LoopbackSwarm, Path], tiny_model: Path
) -> None:
    """Without the remedy PETALS' client waits for ever for its first look at the table."""
    from swarmplan.swarm.tiny_model import local_tokens

    swarm, folder = flooded
    request: dict[str, Any] = {"id": "0", "prompt": [1, 2, 3], "new_tokens": 8}
    job = {
        "routing": {"public_key": str(folder / "key.pub"), "refresh_s": 2.0},
        "requests": [request, {**request, "id": "1", "routing": "petals"}],
        "config": {"update_period": 3, "request_timeout": 20},
    }
    with ClientProcess(swarm=swarm, name="flooded", job=job) as client:
        events = client.finish(limit_s=60)
    assert next(e["version"] for e in events if e["event"] == "plan") is not None
    wanted = local_tokens(tiny_model, [request["prompt"]], 8)[0]
    assert [e.get("tokens") for e in answers(events).values()] == [wanted, wanted]


def test_a_swarm_that_does_not_answer_ends_with_its_exit_code(
    tiny_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "inspect"]
    command += ["--model", str(tiny_model)]
    nobody = "/ip4/127.0.0.1/tcp/9/p2p/QmPXWzjvAKN1CTSVYk3Pnmn8RfiFRF7Wu268uqS4qVfRSX"
    command += ["--initial-peers", nobody]
    done = run_to_end(command, tmp_path / "nobody.log", limit_s=100, environment=QUIET)
    assert done.code == 5, done.text
