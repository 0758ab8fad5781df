"""Reading a live swarm, also one in which a thousand announcements are hostile."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmplan.scenarios.load import load_scenario
from swarmplan.swarm.loopback import QUIET, LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import Ended, run_to_end

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


@pytest.fixture
def one_server(tiny_model: Path, tmp_path: Path) -> Iterator[LoopbackSwarm]:
    """A swarm to be spoilt: PETALS' own clients find no servers in a flooded one."""
    with LoopbackSwarm(folder=tmp_path / "one", model=tiny_model) as swarm:
        swarm.start_servers([ServerSpec(name="A", blocks=(0, 8))])
        yield swarm


def test_a_thousand_hostile_announcements_do_not_break_it(
    one_server: LoopbackSwarm, tmp_path: Path
) -> None:
    arguments = json.dumps([[one_server.initial_peer], one_server.prefix, 1_000])
    command = [sys.executable, str(FLOOD), arguments]
    log = tmp_path / "flood.log"
    flooded = run_to_end(command, log, limit_s=60, environment=QUIET)
    assert int(flooded.text.split()[-1]) > 900, flooded.text
    done = inspect(one_server, tmp_path / "flooded.toml")
    assert done.code == 0, done.text
    problem = load_scenario(tmp_path / "flooded.toml").problem
    # Only who answers counts, so nothing of the flood is left to steer a planner.
    assert {s.id for s in problem.servers} == set(one_server.peers.values())
    assert "warning:" in done.text


def test_a_swarm_that_does_not_answer_ends_with_its_exit_code(
    tiny_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "inspect"]
    command += ["--model", str(tiny_model)]
    nobody = "/ip4/127.0.0.1/tcp/9/p2p/QmPXWzjvAKN1CTSVYk3Pnmn8RfiFRF7Wu268uqS4qVfRSX"
    command += ["--initial-peers", nobody]
    done = run_to_end(command, tmp_path / "nobody.log", limit_s=100, environment=QUIET)
    assert done.code == 5, done.text
