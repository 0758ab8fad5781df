"""Demands on placements, from scenario files and from options."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from swarmplan.cli import main
from swarmplan.core.constraints import Loss, ServerSpan
from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios.scenario import load_scenario

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"
DEMO = str(FOLDER / "demo.toml")
TINY = FOLDER / "tiny.toml"


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


def test_a_file_gives_demands_by_name(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        TINY.read_text()
        + """
[resilience]
redundancy = 2
survive = ["fast-0"]
headroom_percent = 10
[resilience.pinned]
slow-0 = [0, 3]
slow-1 = [0, 0]
[resilience.forbidden]
fast-0 = [[11, 12]]
"""
    )
    problem = load_scenario(path).problem
    rows = {s.id: j for j, s in enumerate(problem.servers)}
    found = problem.planning.constraints
    assert found.copies == 2
    assert found.survive == (Loss(name="server fast-0", servers=frozenset({rows["fast-0"]})),)
    assert found.pinned == (
        ServerSpan(server=rows["slow-0"], start=0, end=3),
        ServerSpan(server=rows["slow-1"], start=0, end=0),
    )
    assert found.forbidden == (ServerSpan(server=rows["fast-0"], start=11, end=12),)
    memory = [s.memory_bytes for s in problem.servers]
    assert problem.memory_bytes.tolist() == [int(m * 0.9) for m in memory]


def test_unknown_names_and_spans_outside_the_model_are_all_listed(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        TINY.read_text()
        + """
[resilience]
survive = ["mars"]
[resilience.pinned]
nobody = [0, 1]
fast-0 = [0, 99]
"""
    )
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    told = str(caught.value)
    for part in ("mars", "nobody", "0:99"):
        assert part in told


def test_options_add_to_the_file_and_the_plan_meets_them(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    options = ("--redundancy", "2", "--survive", "europe", "--forbid", "mig-tokyo=0:10")
    assert run("plan", DEMO, "--method", "cg-bp", "-o", path, *options).exit_code == 0
    problem = load_scenario(Path(DEMO)).problem
    region = {s.id: s.region for s in problem.servers}
    spans = {
        p["server"]: range(p["start_block"], p["end_block"])
        for p in json.loads(path.read_text())["placement"]
    }
    for block in range(70):
        hosts = [name for name, span in spans.items() if block in span]
        assert len(hosts) >= 2
        assert any(region[name] != "europe" for name in hosts)
    assert not set(spans["mig-tokyo"]) & set(range(10))


def test_a_server_that_is_kept_stays_where_the_current_plan_has_it(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    run("plan", DEMO, "--method", "cg-bp", "--pin", "mig-tokyo=7:9", "-o", first)
    done = run(
        *("plan", DEMO, "--method", "cg-bp", "--keep", "mig-tokyo", "--current", first),
        *("-o", second),
    )
    assert done.exit_code == 0
    spans = {p["server"]: p for p in json.loads(second.read_text())["placement"]}
    assert (spans["mig-tokyo"]["start_block"], spans["mig-tokyo"]["end_block"]) == (7, 9)


def test_what_cannot_be_met_exits_with_3_and_says_why() -> None:
    done = run("plan", DEMO, "--redundancy", "9")
    assert done.exit_code == 3
    assert "630 are needed" in done.stderr


def test_a_bad_span_and_keep_without_a_plan_are_bad_input() -> None:
    assert run("plan", DEMO, "--pin", "mig-tokyo=3").exit_code == 2
    assert run("plan", DEMO, "--keep", "mig-tokyo").exit_code == 2
