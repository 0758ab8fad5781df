from __future__ import annotations

import gzip
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


ZOO = {"Oslo": (59.91, 10.75), "Malmo": (55.6, 13.0), "Berlin": (52.52, 13.4)}
GRAPHML = """<?xml version="1.0" encoding="{encoding}"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:y="http://www.yworks.com/xml/graphml">
<key attr.name="label" attr.type="string" for="node" id="a"/>
<key attr.name="Latitude" attr.type="double" for="node" id="b"/>
<key attr.name="Longitude" attr.type="double" for="node" id="c"/>
<graph edgedefault="undirected">
<node id="5"><data key="a">Malmö</data><data key="b">55.6</data><data key="c">13.0</data></node>
<node id="0"><data key="a">Oslo</data><data key="b">59.91</data><data key="c">10.75</data></node>
<node id="2"><data key="a">Berlin</data><data key="b">52.52</data><data key="c">13.4</data></node>
<edge source="0" target="5"/><edge source="5" target="2"/><edge source="5" target="2"/>
</graph></graphml>"""
BARE = GRAPHML.replace(' xmlns="http://graphml.graphdrawing.org/xmlns"', "").format(
    encoding="utf-8"
)
GML = """Creator "x"
graph [
  Network "Zoo"
  label "Zoo"
  node [
    id 0
    label "Oslo"
    Latitude 59.91
    Longitude 10.75
    Internal 1
  ]
  node [
    id 3
    label "None"
    hyperedge 1
  ]
  node [
    id 4
    label "       Malmö"
    Latitude 55.6
    Longitude 13.0
  ]
  node [
    id 5
    label "Berlin"
    Latitude 52.52
    Longitude 13.4
  ]
  node [
    id 9
    label "None"
  ]
  edge [
    source 0
    target 4
    LinkLabel "OC-48"
  ]
  edge [
    source 4
    target 5
  ]
  edge [
    source 5
    target 4
  ]
  edge [
    source 3
    target 5
  ]
]
"""
NATIVE = """?SNDlib native format; type: network; version: 1.0
# network zoo

META (
  granularity = 5min
)
NODES (
  Oslo ( 10.75 59.91 )
  Malmo ( 13.00 55.60)
  Berlin (13.40 52.52 )  # a comment
)

LINKS (
  L1 ( Oslo Malmo ) 0.00 0.00 0.00 0.00 ( 40.00 1.00 )
  L2 ( Malmo Berlin ) 0.00 0.00 0.00 0.00 ( )
)
DEMANDS (
  D1 ( Oslo Berlin ) 1 195.00 UNLIMITED
)
"""
SNDLIB = """<?xml version="1.0" encoding="ISO-8859-1"?>
<network xmlns="http://sndlib.zib.de/network" version="1.0"><!-- a comment -->
 <networkStructure>
  <nodes coordinatesType="geographical">
   <node id="Oslo"><coordinates><x>10.75</x><y>59.91</y></coordinates></node>
   <node id="Malmo"><coordinates><x>13.0</x><y>55.6</y></coordinates></node>
   <node id="Berlin"><coordinates><x>13.4</x><y>52.52</y></coordinates></node>
  </nodes>
  <links>
   <link id="L1"><source>Oslo</source><target>Malmo</target></link>
   <link id="L2"><source>Malmo</source><target>Berlin</target></link>
  </links>
 </networkStructure>
</network>"""
NODE_LINK = json.dumps(
    {
        "nodes": [{"id": n, "name": n, "pos": [lon, lat]} for n, (lat, lon) in ZOO.items()],
        "links": [{"source": "Oslo", "target": "Malmo"}, {"source": "Malmo", "target": "Berlin"}],
    }
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("n.graphml", GRAPHML.format(encoding="utf-8").encode()),
        ("n.GRAPHML", GRAPHML.format(encoding="ISO-8859-1").encode("latin-1")),
        ("bare.graphml", BARE.encode()),
        ("n.gml", GML.encode()),
        ("n.gml", GML.encode("latin-1")),
        ("n.gml.gz", gzip.compress(GML.encode())),
        ("n.txt", NATIVE.encode()),
        ("n.native", NATIVE.partition("\n")[2].encode()),
        ("n.xml", SNDLIB.encode("latin-1")),
        ("n.json", NODE_LINK.encode()),
        ("no-ending", GML.encode()),
    ],
)
def test_published_forms_are_read_through_one_graph(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    found = load_topology(name, tmp_path)
    km = great_circle_km(list(ZOO.values()))
    pair = found.row("Oslo"), found.row("Berlin")
    fibre, internet = (topology_rtt_s(found, mode, pair)[pair] for mode in ("fibre", "internet"))
    assert fibre == pytest.approx((km[0, 1] + km[1, 2]) / 102e3)
    assert internet == pytest.approx((0.0175 * km[0, 2] + 5.7) / 1e3)


def test_nodes_are_known_by_label_and_by_the_id_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "n.gml").write_text(GML)
    found = load_topology("n.gml", tmp_path)
    assert found.labels == ("Oslo", "None#1", "Malmö", "Berlin", "None#4")
    assert [found.row(x) for x in ("5", "9", "malmö", "none#1")] == [3, 4, 2, 1]
    with pytest.raises(ScenarioError, match="unknown node"):
        found.row("1")


def test_a_node_without_a_place_lies_amid_its_neighbours_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "n.gml").write_text(GML.replace("Latitude 55.6\n", ""))
    found = load_topology("n.gml", tmp_path)
    assert "3 of 5 nodes have no place (None#1, Malmö, None#4)" in found.notes[0]
    pair = found.row("Oslo"), found.row("Berlin")
    straight = great_circle_km(list(ZOO.values()))[0, 2] / 102e3
    assert topology_rtt_s(found, "fibre", pair)[pair] == pytest.approx(straight)
    assert np.isnan(found.coordinates[found.row("Malmö")]).all()


def test_islands_without_machines_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "n.gml").write_text(GML)
    found = load_topology("n.gml", tmp_path)
    with pytest.raises(ScenarioError, match="no path from Oslo to None#4"):
        topology_rtt_s(found, "fibre", [found.row("Oslo"), found.row("9")])
    topology_rtt_s(found, "fibre", [found.row("Oslo"), found.row("3")])


def test_plane_coordinates_do_no_harm_where_delays_are_published(tmp_path: Path) -> None:
    (tmp_path / "p.graph").write_text(TRIANGLE.replace("2.35 48.85", "42.3 -100.3"))
    found = load_topology("p.graph", tmp_path)
    assert topology_rtt_s(found, "repetita")[0, 1] == pytest.approx(2e-3)
    assert "no coordinates are used" in found.notes[0]
    with pytest.raises(ScenarioError, match=r"line 3: longitude 42.3, latitude -100.3 is no place"):
        topology_rtt_s(found, "fibre")
    for name, text in (
        ("pixel.xml", SNDLIB.replace("geographical", "pixel")),
        ("far.txt", NATIVE.replace("59.91", "599")),
        ("n.graphml", GRAPHML.replace('<data key="b">', '<data key="a">').format(encoding="utf-8")),
    ):
        (tmp_path / name).write_text(text)
        found = load_topology(name, tmp_path)
        with pytest.raises(ScenarioError, match=r"pixels|no place|no node has a latitude"):
            topology_rtt_s(found, "repetita")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("n.graphml", "<graphml><graph", "cannot be read"),
        ("n.xml", "<model/>", "neither GraphML nor SNDlib"),
        ("n.gml", "graph [\n  node [\n    id 0\n", "cannot be read"),
        ("n.gml", "graph [\n]\n", "has 0 nodes"),
        ("n.json", '{"a": 1}', "no node-link data"),
        ("n.txt", NATIVE.replace("( Oslo Malmo )", "( Oslo Rome )"), "'Rome', which is not there"),
        ("n.txt", "hello", "no topology of a known form"),
        ("n.zip", "hello", "unknown topology"),
        ("n.gml.gz", "\x1f", "no topology of a known form"),
    ],
)
def test_a_topology_that_cannot_be_read_says_why(
    name: str, content: str, says: str, tmp_path: Path
) -> None:
    if name != "n.zip":
        (tmp_path / name).write_text(content)
    with pytest.raises(ScenarioError, match=says):
        load_topology(name, tmp_path)


def test_names_that_lost_nodes_say_so(tmp_path: Path) -> None:
    note = load_topology("Abvt", tmp_path).notes[0]
    assert "22 of at least 23 nodes" in note
    assert load_topology("Abilene", tmp_path).notes == ()
