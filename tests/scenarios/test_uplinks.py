"""Uplinks of scenario files: names become rows, defects are told, edits keep them sound."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.core.uplinks import Uplink
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build
from swarmplan.scenarios.describe import describe
from swarmplan.scenarios.files import parse_file
from swarmplan.scenarios.scenario import scenario_of
from swarmplan.studies.document import drop_lost_uplinks, remove_servers

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"


def document(*uplinks: dict[str, Any]) -> dict[str, Any]:
    """The demo with some uplinks; its first server stands for three."""
    found = parse_file(FOLDER / "demo.toml")
    found["servers"] = [{**found["servers"][0], "id": "box", "count": 3}, *found["servers"][1:]]
    found["network"] = {**found.get("network", {}), "uplinks": list(uplinks)}
    return dict(found)


def uplinks(*given: dict[str, Any]) -> tuple[Uplink, ...]:
    built = build(msgspec.convert(document(*given), schema.Scenario), FOLDER)
    return built.problem.network.uplinks


def test_names_of_servers_groups_and_regions_become_rows_and_megabits_bytes() -> None:
    whole = document()
    client, region = whole["clients"][0]["id"], whole["servers"][1]["region"]
    found = uplinks(
        {"name": "host", "servers": ["box"], "mbit_per_s": 80},
        {"name": "one", "servers": ["box-1"], "up_mbit_per_s": 8},
        {"name": "home", "clients": [client], "down_mbit_per_s": 16},
        {"name": "region", "region": region, "egress_price_per_gb": 0.05},
    )
    assert found[0] == Uplink(
        name="host", servers=(0, 1, 2), up_bytes_per_s=1e7, down_bytes_per_s=1e7
    )
    assert (found[1].servers, found[1].up_bytes_per_s) == ((1,), 1e6)
    assert found[1].down_bytes_per_s == math.inf
    assert (found[2].clients, found[2].down_bytes_per_s) == ((0,), 2e6)
    assert found[3].egress_price_per_byte == pytest.approx(5e-11)
    regions = [s["region"] for s in whole["servers"] for _ in range(s.get("count", 1))]
    assert list(found[3].servers) == [j for j, r in enumerate(regions) if r == region]


def test_each_server_may_have_one_of_its_own() -> None:
    found = uplinks({"name": "card", "servers": ["box"], "each": True, "mbit_per_s": 1000})
    assert [(u.name, u.servers) for u in found] == [
        (f"card box-{j}", (j,)) for j in range(3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"servers": ["nobody"], "mbit_per_s": 1}, "servers", "no server 'nobody'"),
        ({"clients": ["nobody"], "mbit_per_s": 1}, "clients", "no client 'nobody'"),
        ({"region": "nowhere", "mbit_per_s": 1}, "region", "nobody is in region"),
        ({"servers": ["box"]}, "mbit_per_s", "give mbit_per_s"),
        ({"servers": ["box"], "mbit_per_s": 1, "up_mbit_per_s": 2}, "mbit_per_s", "both"),
        ({"mbit_per_s": 1}, "uplinks[0]", "nobody is behind it"),
    ],
)
def test_defects_name_the_field(given: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words) as caught:
        uplinks({"name": "x", **given})
    assert field in caught.value.problems[0].path
    assert len(caught.value.problems) == 1


def test_a_name_is_given_once() -> None:
    one = {"name": "x", "servers": ["box"], "mbit_per_s": 1}
    with pytest.raises(ScenarioError, match="'x' is given twice"):
        uplinks(one, one)


def test_servers_that_go_leave_their_uplinks() -> None:
    given = document(
        {"name": "host", "servers": ["box"], "mbit_per_s": 80},
        {"name": "one", "servers": ["box-1"], "mbit_per_s": 8},
    )
    remove_servers(given, ["box-1"], "--remove")
    left = given["network"]["uplinks"]
    assert [(u["name"], u["servers"]) for u in left] == [("host", ["box-0", "box-2"])]
    gone = {**given, "servers": given["servers"][2:]}
    drop_lost_uplinks(gone)
    assert gone["network"]["uplinks"] == []
    assert len(given["network"]["uplinks"]) == 1


def test_what_is_shared_is_shown() -> None:
    given = document({"name": "host", "servers": ["box"], "up_mbit_per_s": 80})
    rows = describe(scenario_of(given, FOLDER / "demo.toml"))[0][2]
    assert ["uplink host", "3 servers, 0 clients; out 80 Mbit/s, in no limit"] in rows
