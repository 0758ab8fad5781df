"""``swarmplan replan`` from files to files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swarmplan.cli import main
from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios.migrationfile import migration_json_schema, read_migration
from swarmplan.scenarios.planfile import read_plan
from swarmplan.scenarios.scenario import load_scenario

ROOT = Path(__file__).resolve().parents[1]


def scenario(names: Sequence[str] = "abcd", **server: Any) -> dict[str, Any]:
    return {
        "format": "swarmplan/scenario/1",
        "name": "small",
        "model": {
            "name": "toy",
            "num_blocks": 6,
            "hidden_size": 64,
            "block_mb": 100.0,
            "cache_bytes_per_token": 10_000,
        },
        "devices": {"gpu": {"memory_gb": 1.0, "decode_ms": 10.0, "prefill_us_per_token": 100}},
        "servers": [
            {"id": name, "device": "gpu", "lat": 50.0 + i, "lon": 5.0, **server}
            for i, name in enumerate(names)
        ],
        "clients": [{"id": "office", "lat": 50.0, "lon": 5.0}],
        "workload": {
            "streams": [
                {"client": "office", "rate_per_s": 0.2, "prompt_tokens": 50, "output_tokens": 50}
            ]
        },
    }


def plan_file(path: Path, document: dict[str, Any], spans: dict[str, tuple[int, int]]) -> Path:
    """A plan of given spans, made by the program itself."""
    given = json.loads(json.dumps(document))
    for server in given["servers"]:
        if server["id"] in spans:
            server["span"] = list(spans[server["id"]])
    source = path.with_suffix(".scenario.json")
    source.write_text(json.dumps(given))
    done = run("plan", source, "--method", "manual", "--router", "overlap", "-o", path)
    assert done.exit_code == 0, done.stderr
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture
def swarm(tmp_path: Path) -> Path:
    path = tmp_path / "now.json"
    path.write_text(json.dumps(scenario(disk_gb_per_s=1.0, download_mbit_per_s=1000)))
    return path


def test_a_move_that_pays_is_written_as_a_plan_and_a_migration(swarm: Path, tmp_path: Path) -> None:
    spans = {"a": (0, 2), "b": (2, 4), "c": (4, 6)}
    old = plan_file(tmp_path / "old.json", json.loads(swarm.read_text()), spans)
    done = run("replan", old, swarm, "-o", tmp_path / "new.json", "--budget", 2)
    assert done.exit_code == 0, done.stderr
    assert "move: " in done.stdout
    made = read_plan(tmp_path / "new.json", load_scenario(swarm))
    steps = read_migration(tmp_path / "new.migration.json")
    assert steps.move
    assert 1 <= len(steps.steps) <= 2
    assert not steps.dark
    names = ["a", "b", "c", "d"]
    for step in steps.steps:
        j = names.index(step.server)
        assert (made.placement.start[j], made.placement.end[j]) == (step.new_start, step.new_end)
        assert step.end_s > step.begin_s
    assert run("verify", tmp_path / "new.json", swarm).exit_code == 0
    again = run("replan", tmp_path / "new.json", swarm, "--budget", 2, "--json")
    assert json.loads(again.stdout)["migration"]["format"] == "swarmplan/migration/1"


def test_a_move_that_does_not_pay_keeps_the_plan_and_says_why(swarm: Path, tmp_path: Path) -> None:
    spans = {"a": (0, 2), "b": (2, 4), "c": (4, 6), "d": (0, 2)}
    old = plan_file(tmp_path / "old.json", json.loads(swarm.read_text()), spans)
    args = ("replan", old, swarm, "--horizon", 0.001, "--json")
    done = run(*args)
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["migration"]["move"] is False
    assert told["migration"]["steps"] == []
    assert told["migration"]["reasons"][0].startswith("refused")
    assert told["plan"]["placement"] == json.loads(old.read_text())["placement"]
    assert run(*args).stdout == done.stdout


def test_a_lost_server_is_repaired_and_a_new_one_used(swarm: Path, tmp_path: Path) -> None:
    spans = {"a": (0, 2), "b": (2, 4), "c": (4, 6), "gone": (0, 6)}
    old = plan_file(tmp_path / "old.json", scenario(["a", "b", "c", "gone"]), spans)
    document = scenario("abd")
    swarm.write_text(json.dumps(document))
    done = run("replan", old, swarm, "--budget", 1, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)["migration"]
    assert told["gone_servers"] == ["c", "gone"]
    assert told["new_servers"] == ["d"]
    assert told["forced"]
    assert told["move"]
    assert [s["server"] for s in told["steps"]] == ["d"]
    assert told["dark"][0]["blocks"] == [4, 5]
    assert told["dark"][0]["end_s"] == told["steps"][0]["end_s"]
    none = run("replan", old, swarm, "--budget", 0)
    assert none.exit_code == 4
    assert "allow more moves" in none.stderr


def test_a_surge_below_the_load_is_refused_and_a_larger_one_is_worth_more_reserve(
    swarm: Path, tmp_path: Path
) -> None:
    spans = {"a": (0, 2), "b": (2, 4), "c": (4, 6)}
    old = plan_file(tmp_path / "old.json", json.loads(swarm.read_text()), spans)
    wrong = run("replan", old, swarm, "--surge", 0.5)
    assert wrong.exit_code == 2
    assert "0.5 is not in the range x>=1" in wrong.stderr
    for nothing in ("nan", "inf"):
        refused = run("replan", old, swarm, "--surge", nothing)
        assert refused.exit_code == 2
        assert f"{nothing} is not a finite number" in refused.stderr

    def gain(surge: float) -> float:
        done = run("replan", old, swarm, "--surge", surge, "--budget", 1, "--json")
        assert done.exit_code == 0, done.stderr
        return float(json.loads(done.stdout)["migration"]["options"][-1]["gain_request_s"])

    assert gain(4) > gain(1)


def test_a_file_that_is_no_plan_is_an_error(swarm: Path) -> None:
    assert run("replan", swarm, swarm).exit_code == 2


def test_the_committed_schema_of_migration_files_is_current() -> None:
    path = ROOT / "scenarios" / "migration.schema.json"
    assert json.loads(path.read_text()) == migration_json_schema()


def test_every_defect_of_a_migration_file_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"format": "swarmplan/migration/1", "steps": 3}))
    with pytest.raises(ScenarioError) as caught:
        read_migration(path)
    assert len(caught.value.problems) > 3
