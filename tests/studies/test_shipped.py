"""Every shipped scenario runs, reduced, and gives what was recorded."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from swarmplan.benchmarks.recorded import run
from swarmplan.scenarios.generate import generate, to_toml
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.studies.catalogue import load_market
from swarmplan.studies.sweepfile import load_sweep

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"
#: Written by ``python benchmarks/recorded.py``.
RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
#: Sums may be rounded differently by another numpy; decisions are the same.
TOLERANCE = 1e-6


def test_every_shipped_scenario_has_recorded_figures() -> None:
    assert {r["scenario"] for r in RECORDED} == {p.stem for p in FOLDER.glob("*.toml")}


@pytest.mark.parametrize("record", RECORDED, ids=lambda r: f"{r['scenario']}-{r['method']}")
def test_a_shipped_scenario_gives_the_recorded_figures(record: dict[str, Any]) -> None:
    figures = run(record["scenario"], record["method"], record["requests"])
    assert figures == pytest.approx(record["figures"], rel=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "servers", "clients"), [("volunteers", 26, 3), ("data-centres", 1000, 8)]
)
def test_generated_files_are_what_the_command_writes(name: Any, servers: int, clients: int) -> None:
    document = generate(name, servers=servers, clients=clients, seed=1)
    content = (FOLDER / f"{name}.toml").read_text()
    assert content == to_toml(document)
    assert len(content) < 20_000


def test_the_files_of_the_manual_load(tmp_path: Path) -> None:
    text = (FOLDER.parent / "docs" / "whatif.md").read_text()
    files = re.findall(r"```toml (\S+)\n(.*?)```", text, re.DOTALL)
    for name, content in files:
        (tmp_path / name).write_text(content)
    shutil.copy(FOLDER / "volunteers.toml", tmp_path)
    assert [name for name, _ in files] == ["offers.toml", "sweep.toml"]
    market = load_market(
        load_scenario(FOLDER / "cloud.toml"), tmp_path / "offers.toml", scratch=True
    )
    assert market.offers[0].available == 4
    assert len(load_sweep(tmp_path / "sweep.toml").points) == 90


def test_volunteers_come_and_go_and_some_are_relayed() -> None:
    scenario = load_scenario(FOLDER / "volunteers.toml")
    assert {e.up for e in scenario.events} == {True, False}
    assert any(s.relayed for s in scenario.problem.servers)
    assert scenario.problem.network.client_bandwidth_bytes_per_s is not None
