from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.errors import ScenarioError
from swarmplan.perfmodel.network import great_circle_km
from swarmplan.scenarios.graphfile import parse_graph
from swarmplan.scenarios.topologies import Topology, load_topology, topology_rtt_s

TRIANGLE = """NODES 3
label x y
Paris 2.35 48.85
Old_York, UK -1.08 53.96
Nowhere 0 0

EDGES 4
label src dest weight bw delay
edge_0 0 1 1 1000000 1000
edge_1 1 0 1 1000000 1000
edge_2 1 2 1 1000000 600
edge_3 2 1 1 1000000 600
"""


@pytest.fixture
def triangle(tmp_path: Path) -> Topology:
    (tmp_path / "triangle.graph").write_text(TRIANGLE)
    return load_topology("triangle.graph", tmp_path)


def test_published_matrices_come_out_of_the_graph_files(shared_data: Path) -> None:
    compared = 0
    for path in sorted((shared_data / "golden" / "bprr").glob("*.json")):
        inputs = json.loads(path.read_text())["inputs"]
        nodes = inputs.get("topology_nodes_0based_client_then_servers")
        file = shared_data / "topologies" / f"{inputs.get('topology')}.graph"
        if nodes is None or not file.exists():
            continue
        rtt_ms = 1e3 * topology_rtt_s(load_topology(file.name, file.parent), "repetita")
        expected = np.array(inputs["RTT_raw"])
        np.testing.assert_allclose(rtt_ms[np.ix_(nodes, nodes)], expected, rtol=0, atol=1e-9)
        compared += 1
    assert compared >= 15


def test_a_file_names_unknown_places_and_longitude_first(triangle: Topology) -> None:
    assert triangle.labels == ("Paris", "Old_York, UK", "Nowhere")
    assert triangle.coordinates[0].tolist() == [48.85, 2.35]
    assert np.isnan(triangle.coordinates[2]).all()
    assert triangle.row("paris") == 0
    assert triangle.row("2") == 2


def test_each_mode_prices_the_same_graph(triangle: Topology) -> None:
    km = great_circle_km(triangle.coordinates)[0, 1]
    repetita, fibre, internet = (
        topology_rtt_s(triangle, mode) for mode in ("repetita", "fibre", "internet")
    )
    assert repetita[0, 2] == pytest.approx(2 * 1.6e-3)
    assert fibre[0, 1] == pytest.approx(km / 102e3)
    assert fibre[1, 2] == pytest.approx(360 / 102e3)  # the length that the delay stands for
    assert internet[0, 1] == pytest.approx((0.0175 * km + 5.7) / 1e3)
    ratio = internet[0, 1] / fibre[0, 1]
    assert internet[0, 2] == pytest.approx(ratio * fibre[0, 2])
    for rtt in (repetita, fibre, internet):
        assert np.array_equal(rtt, rtt.T)
        assert not np.diag(rtt).any()


@pytest.mark.parametrize("name", ["Abvt", "bellcanada", "topozoo/Abilene", "GEANT2012"])
def test_topologies_are_found_by_name(name: str, tmp_path: Path) -> None:
    topology = load_topology(name, tmp_path)
    fibre, internet = (topology_rtt_s(topology, mode) for mode in ("fibre", "internet"))
    assert len(topology.labels) == len(set(topology.labels)) > 10
    assert (internet + 1e-12 >= np.nan_to_num(great_circle_km(topology.coordinates)) / 102e3).all()
    assert fibre.max() < 0.3


def test_named_topology_agrees_with_the_file(shared_data: Path) -> None:
    file = topology_rtt_s(load_topology("Bellcanada.graph", shared_data / "topologies"), "repetita")
    name = topology_rtt_s(load_topology("Bellcanada", shared_data), "repetita")
    assert np.abs(file - name).max() < 2e-4


def test_an_unknown_name_gives_near_matches(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"unknown topology 'Abvtt'; did you mean Abvt"):
        load_topology("Abvtt", tmp_path)
    with pytest.raises(ScenarioError, match="cannot read the topology"):
        load_topology("absent.graph", tmp_path)
    with pytest.raises(ScenarioError, match=r"did you mean topozoo/Abilene"):
        load_topology("topozoo/Abilen", tmp_path)


def test_unconnected_nodes_are_named(tmp_path: Path) -> None:
    lines = TRIANGLE.replace("EDGES 4", "EDGES 2").splitlines()[:-2]
    (tmp_path / "apart.graph").write_text("\n".join(lines))
    with pytest.raises(ScenarioError, match="no path from Paris to Nowhere"):
        topology_rtt_s(load_topology("apart.graph", tmp_path), "repetita")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("NODES 3", "NODES three", "line 1: expected 'NODES count'"),
        ("NODES 3", "NODES 4", "line 7: expected a node"),
        ("NODES 3", "NODES 2", "line 5: expected 'EDGES count'"),
        ("2.35 48.85", "2.35 148.85", "line 3: longitude 2.35, latitude 148.85 is no place"),
        ("edge_1 1 0", "edge_1 1 9", "line 10: node 9 does not exist"),
        ("edge_1 1 0", "edge_1 1 0.5", "line 10: node 0.5 does not exist"),
        ("1000000 600\nedge_3", "1000000 -1\nedge_3", "line 11: the delay must not be negative"),
        ("EDGES 4", "EDGES 5", "line 13: the file ends where a link should stand"),
        ("EDGES 4", "EDGES 3", "line 12: more rows than announced"),
        ("0 1 1 1000000 1000", "0 1 1 nan 1000", "line 9: numbers must be finite"),
    ],
)
def test_defects_are_named_with_their_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.graph").write_text(TRIANGLE.replace(old, new, 1))
    with pytest.raises(ScenarioError) as caught:
        load_topology("bad.graph", tmp_path)
    assert message in str(caught.value)


@given(st.integers(0, len(TRIANGLE)), st.text(max_size=8))
def test_any_text_is_read_or_refused(cut: int, junk: str) -> None:
    message = "fuzz.graph: line"
    try:
        parse_graph(TRIANGLE[:cut] + junk + TRIANGLE[cut + len(junk) :], source="fuzz.graph")
    except ScenarioError as error:
        message = str(error)
    assert "fuzz.graph: line" in message
