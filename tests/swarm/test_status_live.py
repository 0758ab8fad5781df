"""The status of a live swarm: whose word it is, what was measured, and what strangers change."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmplan.swarm.loopback import QUIET, LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import Child, free_ports, run_to_end
from swarmplan.swarm.trial import operate, publish_spans

pytestmark = pytest.mark.live

OVERWRITE = Path(__file__).with_name("overwrite.py")
#: Of a block, as ``swarm measure`` would write it.
PROFILE = {
    "name": "here",
    "profiles": [
        {
            "name": "here",
            "source": "a test",
            "precision": "bf16",
            "timing_ms": {"decode_base": 1.5, "prefill_base": 1.0, "prefill_per_token": 0.1},
            "hop_ms": {"step": 8.0, "task": 1.0, "prefill": 10.0},
        }
    ],
}

#: A hop as it is assumed, a task and 4 blocks of that profile; not the 2,000 steps a second that
#: PETALS was given.
OWN_STEP_S = 0.010 + 0.001 + 4 * 0.0015


@pytest.fixture(scope="module")
def pair(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LoopbackSwarm, Path]]:
    """A runs the plugin and a profile, B is plain PETALS; a plan keeps both where they are."""
    folder = tmp_path_factory.mktemp("pair")
    operate(folder / "keygen.log", "keygen", str(folder / "key"))
    (folder / "here.json").write_text(json.dumps(PROFILE))
    follow = ("--operator-key", str(folder / "key.pub"), "--follow", "1")
    profile = ("--profile", str(folder / "here.json"))
    with LoopbackSwarm(folder=folder / "swarm", model=tiny_model) as swarm:
        swarm.start_servers(
            [
                ServerSpec(name="A", blocks=(0, 4), rtt_s=0.010, planned=(*follow, *profile)),
                ServerSpec(name="B", blocks=(4, 8), rtt_s=0.030),
            ]
        )
        publish_spans(swarm, folder, folder / "key", {"A": (0, 4), "B": (4, 8)})
        yield swarm, folder


def source(swarm: LoopbackSwarm, folder: Path) -> list[str]:
    words = ["--initial-peers", swarm.initial_peer, "--model", str(swarm.model)]
    return [*words, "--prefix", swarm.prefix, "--operator-key", str(folder / "key.pub")]


def alone_s(server: dict[str, Any]) -> float:
    """The predicted step less the way there and back, which a probe measured anew."""
    assert server["rtt_s"] >= 0.010
    return float(server["step"]["predicted_s"] - server["rtt_s"])


def document(swarm: LoopbackSwarm, folder: Path, *more: str) -> dict[str, Any]:
    said = operate(folder / "status.log", "status", *source(swarm, folder), "--json", *more)
    found: dict[str, Any] = json.loads(said[said.index("{\n") : said.rindex("}") + 1])
    return found


def test_plan_chain_and_measured_steps_are_told(pair: tuple[LoopbackSwarm, Path]) -> None:
    swarm, folder = pair
    found = document(swarm, folder, "--probe")
    assert (found["plan"]["standing"], found["plan"]["in_place"]) == ("in force", 2)
    servers = {s["name"]: s for s in found["servers"]}
    assert (servers["A"]["signed"], servers["B"]["signed"]) == (True, False)
    assert servers["A"]["follows_version"] == found["plan"]["version"]
    assert [h["server"] for h in found["chain"]] == ["A", "B"]
    for hop, rtt_s in zip(found["chain"], (0.010, 0.030), strict=True):
        assert hop["measured_by"] == "here"
        assert hop["measured_s"] > rtt_s
    assert alone_s(servers["A"]) == pytest.approx(OWN_STEP_S)


def test_what_strangers_store_under_a_servers_name_moves_nobody(
    pair: tuple[LoopbackSwarm, Path],
) -> None:
    swarm, folder = pair
    run = [sys.executable, str(OVERWRITE), swarm.initial_peer, swarm.prefix, swarm.peers["A"]]
    done = run_to_end([*run, "0", "4"], folder / "over.log", limit_s=90, environment=QUIET)
    assert "stored 4" in done.text, done.text
    servers = {s["name"]: s for s in document(swarm, folder)["servers"]}
    own = servers["A"]
    assert (own["state"], own["start_block"], own["end_block"]) == ("online", 0, 4)
    assert alone_s(own) == pytest.approx(OWN_STEP_S)


def test_the_doctor_names_who_runs_without_the_plugin(pair: tuple[LoopbackSwarm, Path]) -> None:
    swarm, folder = pair
    words = [*source(swarm, folder), "--key", str(folder / "key")]
    said = operate(folder / "doctor.log", "doctor", *words)
    weak = [line for line in said.splitlines() if "\tweak\t" in line]
    assert len(weak) == 1, said
    assert "1 of 2 without the plugin" in weak[0]
    assert "(B)" in weak[0]


def test_a_watch_shows_the_same_on_a_page(pair: tuple[LoopbackSwarm, Path]) -> None:
    swarm, folder = pair
    (port,) = free_ports(1)
    words = [*source(swarm, folder), "--folder", str(folder / "watch"), "--page", str(port)]
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", "watch", *words, "--every", "600"]
    child = Child(name="watch", command=command, log=folder / "watch.log", environment=QUIET)
    child.start()
    try:
        child.wait_for("read 1:", limit_s=90)
        child.wait_for("page:", limit_s=1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            content = answer.read().decode()
    finally:
        child.stop()
    assert "signature checked" in content
    assert "2 of its 2 servers in place" in content
