"""Round trips of large swarms are worked out when asked for, and are those of small ones."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.places import ByPlace
from swarmplan.scenarios import network, schema
from swarmplan.scenarios.build import build
from swarmplan.scenarios.files import parse_file

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"


def built(path: Path) -> Problem:
    return build(msgspec.convert(parse_file(path), schema.Scenario), path.parent).problem


@pytest.mark.parametrize("name", ["abvt", "demo", "volunteers", "gts-ce", "bellcanada"])
def test_what_is_worked_out_is_what_would_be_held(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = built(FOLDER / f"{name}.toml")
    monkeypatch.setattr(network, "MOST_HELD", 0)
    worked_out = built(FOLDER / f"{name}.toml")
    assert held.network.holds_pairs
    assert not worked_out.network.holds_pairs
    assert np.array_equal(worked_out.network.client_rtt_s, held.network.client_rtt_s)
    assert np.array_equal(worked_out.network.server_rtt_s[:, :], held.network.server_rtt_s)
    assert [s.coordinates for s in worked_out.servers] == [s.coordinates for s in held.servers]


def with_servers(tmp_path: Path, extra: str, delay: str = "internet") -> Path:
    """A swarm of machines at nodes, and one more."""
    text = (FOLDER / "abvt.toml").read_text()
    path = tmp_path / "nodes.toml"
    path.write_text(text)
    document = parse_file(path)
    document["network"]["delay"] = delay
    document["servers"] = [
        *({"id": i, "device": document["servers"][0]["device"], "node": 3} for i in "ab"),
        msgspec.toml.decode(f"s = {extra}")["s"] | {"device": document["servers"][0]["device"]},
    ]
    path = tmp_path / "nodes.json"
    path.write_bytes(msgspec.json.encode(document))
    return path


@pytest.mark.parametrize("delay", ["internet", "fibre", "repetita"])
@pytest.mark.parametrize(
    "extra",
    ['{id = "c", node = 7, last_mile_ms = 4}', '{id = "c", lat = 50.0, lon = 7.0}', '{id = "c"}'],
)
def test_machines_at_nodes_and_places_are_served_or_refused_alike(
    extra: str, delay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_servers(tmp_path, extra, delay)

    def outcome() -> object:
        try:
            found = built(path).network
        except ScenarioError as error:
            return [str(p) for p in error.problems]
        between = np.array(found.server_rtt_s[:, :])
        return found.client_rtt_s.tolist(), between.tolist()

    held = outcome()
    monkeypatch.setattr(network, "MOST_HELD", 0)
    assert outcome() == held


def test_measured_pairs_of_a_large_swarm_are_refused_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_servers(tmp_path, '{id = "c", node = 7}', "measured")
    monkeypatch.setattr(network, "MOST_HELD", 2)
    with pytest.raises(ScenarioError, match="at most 2 servers: use 'internet'"):
        built(path)


def test_ten_thousand_servers_load_without_a_matrix_of_all_pairs(tmp_path: Path) -> None:
    document = parse_file(FOLDER / "tiny.toml")
    first = document["servers"][0]
    document["servers"] = [
        {**first, "id": f"s{i}", "lat": 40.0 + i, "lon": 5.0, "count": 2_500} for i in range(4)
    ]
    document["network"] = {"delay": "internet"}
    document["clients"] = [{**c, "lat": 40.0, "lon": 5.0} for c in document["clients"]]
    found = build(msgspec.convert(document, schema.Scenario), tmp_path).problem
    assert found.num_servers == 10_000
    assert isinstance(found.network.server_rtt_s, ByPlace)
    document["servers"] = [{**s, "count": 27_500} for s in document["servers"]]
    more = msgspec.convert(document, schema.Scenario)
    with pytest.raises(ScenarioError, match=r"110,000 servers in total, at most 100,000"):
        build(more, tmp_path)
