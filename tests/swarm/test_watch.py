"""The autopilot: waits for confirmation, publishes what pays, remembers over restarts."""

from __future__ import annotations

import json
import math
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from swarmplan.core.errors import InfeasibleError, ScenarioError, SwarmUnreachableError
from swarmplan.core.plan import Plan
from swarmplan.perfmodel.catalogue import BYTES_PER_VALUE
from swarmplan.placement.moves.replan import Terms
from swarmplan.scenarios.checkpoint import model_figures
from swarmplan.scenarios.scenario import Scenario
from swarmplan.swarm import verdict
from swarmplan.swarm import watch as watching
from swarmplan.swarm.announce import Announcement
from swarmplan.swarm.batching import Batching
from swarmplan.swarm.inspecting import Notes
from swarmplan.swarm.metrics import Metrics, serve_metrics
from swarmplan.swarm.places import ClientPlace
from swarmplan.swarm.snapshot import Assumptions, scenario_document
from swarmplan.swarm.verdict import Weighing
from swarmplan.swarm.watch import Watch, WatchOptions

MODEL = model_figures("Llama-3.1-8B")
RTT_S = {"near-0": 0.01, "near-1": 0.01, "far-0": 0.15, "far-1": 0.15}
#: Both near servers hold the same half: each request must also visit a far one.
BAD = {"near-0": (0, 16), "near-1": (0, 16), "far-0": (16, 32), "far-1": (16, 32)}
GOOD = {"near-0": (0, 16), "near-1": (16, 32), "far-0": (16, 32), "far-1": (0, 16)}


class Swarm:
    """What would be read; spans change when a plan is published."""

    def __init__(self, spans: dict[str, tuple[int, int]]) -> None:
        self.spans = spans
        self.silent = False
        self.memory_bytes = 4_000_000_000
        self.batching: dict[str, Batching] = {}

    def __call__(self) -> tuple[dict[str, Any], Notes]:
        if self.silent:
            raise SwarmUnreachableError("nobody answers")
        entries = [
            Announcement(
                peer=name,
                state="online",
                start=a,
                end=b,
                inference_rps=500.0,
                forward_rps=5_000.0,
                cache_tokens_left=100_000,
                quant_type="nf4",
                batching=self.batching.get(name),
            )
            for name, (a, b) in self.spans.items()
        ]
        memory = dict.fromkeys(self.spans, self.memory_bytes)
        place = ClientPlace(name="here", rtt_s=RTT_S)
        assume = Assumptions(memory_bytes=memory, rate_per_s=0.05)
        document, estimated = scenario_document(MODEL, entries, [place], assume)
        for server in document["servers"]:
            server["max_blocks"] = 16
        return document, Notes(warnings=(), estimated=estimated)


def watch(folder: Path, swarm: Swarm, *, publish: bool = True, **options: Any) -> Watch:
    published = folder / "versions"

    def store(made: Plan, scenario: Scenario) -> tuple[int, float]:
        with published.open("a") as file:
            file.write("published\n")
        return len(published.read_text().splitlines()), 1e9

    weighing = Weighing(terms=Terms(margin=0.1, replay="prefill"), **options)
    chosen = WatchOptions(folder=folder, weighing=weighing)
    return Watch(chosen, swarm, store if publish else None, Metrics())


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_a_better_plan_is_published_once_it_was_found_three_times(tmp_path: Path) -> None:
    pilot = watch(tmp_path, Swarm(BAD))
    assert [pilot.turn(t) for t in (1.0, 2.0, 3.0)] == ["confirm", "confirm", "publish"]
    # The servers have not moved yet; that is no reason to publish again.
    assert pilot.turn(4.0) == "stay"
    spans = journal(tmp_path)[2]["spans"]
    near = {tuple(spans["near-0"]), tuple(spans["near-1"])}
    assert near == {(0, 16), (16, 32)}


def test_a_good_placement_is_left_alone(tmp_path: Path) -> None:
    pilot = watch(tmp_path, Swarm(GOOD))
    assert [pilot.turn(t) for t in (1.0, 2.0)] == ["stay", "stay"]


def test_confirmations_survive_a_restart_and_a_silent_swarm(tmp_path: Path) -> None:
    swarm = Swarm(BAD)
    assert watch(tmp_path, swarm).turn(1.0) == "confirm"
    swarm.silent = True
    assert watch(tmp_path, swarm).turn(2.0) == "unreachable"
    swarm.silent = False
    again = watch(tmp_path, swarm)
    assert [again.turn(t) for t in (3.0, 4.0)] == ["confirm", "publish"]
    assert watch(tmp_path, swarm).turn(5.0) == "stay"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"servers": []}, "servers"),
        ({"model": {"name": "nothing"}}, "nothing"),
    ],
)
def test_a_plan_that_cannot_be_made_is_a_failed_round_and_the_watch_goes_on(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    swarm = Swarm(BAD)

    def read() -> tuple[dict[str, Any], Notes]:
        document, notes = swarm()
        return {**document, **change}, notes

    options = WatchOptions(folder=tmp_path, weighing=Weighing(confirm=1))
    pilot = Watch(options, read, None, Metrics())
    assert pilot.turn(1.0) == "failed"
    assert words in pilot.reason
    assert [(line["action"], line["at_s"]) for line in journal(tmp_path)] == [("failed", 1.0)]
    assert pilot.state.seen == 0


@pytest.mark.parametrize(("module", "step"), [(verdict, "replanned"), (watching, "plan")])
def test_what_no_method_can_plan_is_a_failed_round(
    module: ModuleType, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise InfeasibleError("no plan exists")

    monkeypatch.setattr(module, step, refuse)
    pilot = watch(tmp_path, Swarm(BAD), confirm=1)
    assert [pilot.turn(t) for t in (1.0, 2.0)] == ["failed", "failed"]
    assert pilot.reason == "no plan exists"
    monkeypatch.undo()
    assert pilot.turn(3.0) == "publish"


def test_a_publication_that_cannot_be_made_is_a_failed_round_too(tmp_path: Path) -> None:
    def refuse(*_: Any) -> tuple[int, float]:
        raise ScenarioError.single("plan", "refers to a file")

    weighing = Weighing(confirm=1, terms=Terms(margin=0.1, replay="prefill"))
    options = WatchOptions(folder=tmp_path, weighing=weighing)
    pilot = Watch(options, Swarm(BAD), refuse, Metrics())
    assert [pilot.turn(t) for t in (1.0, 2.0)] == ["failed", "failed"]
    assert "refers to a file" in pilot.reason


def test_what_full_caches_gain_by_a_move_is_no_number(tmp_path: Path) -> None:
    """Sixteen blocks leave no room for a session, so staying serves nobody."""
    swarm = Swarm(GOOD)
    swarm.memory_bytes = 16 * int(MODEL.block_bytes(2.0) * BYTES_PER_VALUE["nf4"] / 2) + 10_000
    pilot = watch(tmp_path, swarm, publish=False, confirm=1)
    assert pilot.turn(1.0) == "propose"
    line = journal(tmp_path)[0]
    assert line["gain"] is None
    assert "the servers cannot carry the load as they are" in line["reasons"][0]
    assert "inf" not in pilot.reason


@pytest.mark.parametrize("name", ["journal.jsonl", "state.json", "scenario.json", "plan.json"])
def test_nothing_is_written_through_a_link(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to(tmp_path / "victim")
    pilot = watch(tmp_path, Swarm(BAD), publish=False, confirm=1)
    if name == "plan.json":
        assert pilot.turn(1.0) == "failed"
        assert "is a link" in pilot.reason
    else:
        with pytest.raises(ScenarioError, match=r"is a link|cannot be written"):
            pilot.turn(1.0)
    assert not (tmp_path / "victim").exists()


def test_a_dry_run_only_proposes(tmp_path: Path) -> None:
    pilot = watch(tmp_path, Swarm(BAD), publish=False, confirm=1)
    assert pilot.turn(1.0) == "propose"
    assert not (tmp_path / "versions").exists()
    assert (tmp_path / "plan.json").exists()


def test_a_followed_plan_is_renewed_when_half_of_its_time_is_over(tmp_path: Path) -> None:
    swarm = Swarm(BAD)
    pilot = watch(tmp_path, swarm, confirm=1)
    assert pilot.turn(1.0) == "publish"
    swarm.spans = {n: (a, b) for n, (a, b) in pilot.state.target.items()}
    assert pilot.turn(2.0) == "stay"
    assert pilot.turn(6e8) == "renew"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1_795_898_916.0, "1795898916"),
        (1_795_898_916.25, "1795898916.25"),
        (0.1, "0.1"),
        (0.0, "0"),
        (1e300, "1e+300"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_figures_are_told_in_full(value: float, shown: str) -> None:
    metrics = Metrics()
    metrics.set("swarmplan_plan_version", value)
    assert f"\nswarmplan_plan_version {shown}\n" in metrics.text()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_figures_are_served_in_prometheus_form(tmp_path: Path) -> None:
    swarm = Swarm(BAD)
    swarm.batching["near-0"] = Batching(curve=((8, 1.5),))
    pilot = watch(tmp_path, swarm)
    pilot.turn(1.0)
    server = serve_metrics(pilot._metrics, 0)
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/metrics"
        with urllib.request.urlopen(address, timeout=5) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
    assert "\nswarmplan_servers_online 4\n" in text
    assert "\nswarmplan_servers_batching 1\n" in text
    assert "# TYPE swarmplan_reads_total counter\nswarmplan_reads_total 1\n" in text
