"""Published forms of topologies as a networkx graph: GraphML, GML, SNDlib (native, XML), JSON.

Nodes carry ``label``, ``lat`` and ``lon``, the last two only where they are known; edges carry
``km`` where the file says it. Graphs of places only: times follow from the lengths of links.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from ..core.errors import ScenarioError

#: Names of files that are read as topologies; ``.graph`` is REPETITA's.
SUFFIXES = (".graph", ".graphml", ".gml", ".xml", ".txt", ".native", ".json")
FORMS = "REPETITA's .graph, GraphML, GML, SNDlib native or XML, or node-link JSON"
_LAT, _LON = ("latitude", "lat"), ("longitude", "lon", "lng", "long")
_WRONG = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, SyntaxError)


def read_graph(content: bytes, source: str) -> Any:
    """A graph of any of the forms, told by its content.

    Raises
    ------
    ScenarioError
        If it is of none, or damaged.
    """
    import networkx as nx  # slow to load

    head = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:4_000]
    try:
        if head.startswith(b"<"):
            return _xml(content)
        if head.startswith((b"{", b"[")):
            return _with_places(_node_link(json.loads(_text(content))))
        if head.startswith(b"?SNDlib") or re.search(rb"^\s*NODES\s*\(", head, re.MULTILINE):
            return _sndlib_native(_text(content))
        if re.search(rb"^\s*graph\s*\[", head, re.MULTILINE):
            return _with_places(_gml(_text(content)))
    except (*_WRONG, nx.NetworkXException) as error:
        message = f"is a topology that cannot be read: {str(error)[:200] or type(error).__name__}"
        raise ScenarioError.single("", message, source=source) from error
    raise ScenarioError.single("", f"is no topology of a known form: {FORMS}", source=source)


def is_repetita(content: bytes) -> bool:
    """Whether a file is of REPETITA's form."""
    return re.match(rb"(?:\xef\xbb\xbf)?\s*NODES\b(?!\s*\()", content[:200]) is not None


def _text(content: bytes) -> str:
    """UTF-8, or what files of before it hold."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _xml(content: bytes) -> Any:
    root = ElementTree.fromstring(content)
    kind = root.tag.rpartition("}")[2]
    if kind == "graphml":
        import networkx as nx

        return _with_places(nx.parse_graphml(_unprefixed(root), force_multigraph=True))
    if kind == "network":
        return _sndlib_xml(root)
    raise ValueError(f"an XML document <{kind}> is neither GraphML nor SNDlib's")


def _unprefixed(root: ElementTree.Element) -> str:
    """GraphML of the one name space that networkx knows; what else is in it (yEd's) stays."""
    own = root.tag.rpartition("}")[0] + "}" if root.tag.startswith("{") else ""
    for element in root.iter():
        tag = str(element.tag)
        if tag.startswith(own) and (own or "}" not in tag):
            element.tag = f"{{http://graphml.graphdrawing.org/xmlns}}{tag[len(own) :]}"
    return ElementTree.tostring(root, encoding="unicode")


def _gml(text: str) -> Any:
    """GML; the Topology Zoo has double links and does not say so."""
    import networkx as nx

    if not re.search(r"^\s*multigraph\s+1", text, re.MULTILINE):
        text = re.sub(
            r"^(\s*graph\s*\[)", r"\1\n  multigraph 1\n", text, count=1, flags=re.MULTILINE
        )
    return nx.parse_gml(text, label=None)


def _node_link(document: Any) -> Any:
    """Node-link data of networkx and of topohub."""
    import networkx as nx

    if not (isinstance(document, dict) and isinstance(document.get("nodes"), list)):
        raise ValueError("JSON, but no node-link data: it needs nodes and edges (or links)")
    name = "edges" if "edges" in document else "links"
    graph = nx.MultiDiGraph() if document.get("directed") else nx.MultiGraph()
    for node in document["nodes"]:
        graph.add_node(node["id"], **{str(k): v for k, v in node.items() if k != "id"})
    for edge in document[name]:
        graph.add_edge(edge["source"], edge["target"], dist=edge.get("dist"))
    return graph


def _with_places(graph: Any) -> Any:
    """Attributes of the files as ``label``, ``lat``, ``lon`` and ``km``."""
    for node, data in graph.nodes(data=True):
        given = {str(key).casefold(): value for key, value in data.items()}
        position = given.get("pos")
        if isinstance(position, list | tuple) and len(position) == 2:
            given = {"longitude": position[0], "latitude": position[1], **given}
        label = str(given.get("label") or given.get("name") or "").strip()
        place = _number(given, _LAT), _number(given, _LON)
        data.clear()
        data["label"] = label or str(node)
        if place[0] is not None and place[1] is not None:
            data["lat"], data["lon"] = place
    for _, _, data in graph.edges(data=True):
        km = data.get("dist")
        data.clear()
        if isinstance(km, int | float) and km >= 0:
            data["km"] = float(km)
    return graph


def _number(given: dict[str, Any], names: tuple[str, ...]) -> float | None:
    for name in names:
        if given.get(name) not in (None, ""):
            return float(given[name])
    return None


def _sndlib_native(text: str) -> Any:
    import networkx as nx

    graph = nx.MultiGraph()
    for line in _section(text, "NODES"):
        found = re.match(r"(\S+)\s*(?:\(\s*(\S+)\s+(\S+?)\s*\))?", line)
        assert found is not None
        graph.add_node(found[1], label=found[1])
        if found[2] is not None:
            graph.nodes[found[1]].update(lon=float(found[2]), lat=float(found[3]))
    for line in _section(text, "LINKS"):
        ends = re.match(r"\S+\s*\(\s*(\S+)\s+(\S+?)\s*\)", line)
        if ends is None:
            raise ValueError(f"no link: {line[:80]!r}")
        _connect(graph, ends[1], ends[2])
    return graph


def _section(text: str, name: str) -> Iterator[str]:
    """Lines between ``NAME (`` and ``)``, without comments."""
    inside = False
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if inside and line == ")":
            return
        if inside and line:
            yield line
        inside = inside or re.fullmatch(rf"{name}\s*\(", line) is not None


def _sndlib_xml(root: ElementTree.Element) -> Any:
    import networkx as nx

    for element in root.iter():
        element.tag = str(element.tag).rpartition("}")[2]
    graph = nx.MultiGraph()
    nodes = root.find("networkStructure/nodes")
    if nodes is None:
        raise ValueError("SNDlib without networkStructure/nodes")
    plane = nodes.get("coordinatesType", "geographical") != "geographical"
    graph.graph["plane"] = "coordinates are pixels, not degrees" if plane else ""
    for node in nodes.findall("node"):
        graph.add_node(node.attrib["id"], label=node.attrib["id"])
        x, y = node.findtext("coordinates/x"), node.findtext("coordinates/y")
        if x is not None and y is not None and not plane:
            graph.nodes[node.attrib["id"]].update(lon=float(x), lat=float(y))
    for link in root.findall("networkStructure/links/link"):
        _connect(
            graph, (link.findtext("source") or "").strip(), (link.findtext("target") or "").strip()
        )
    return graph


def _connect(graph: Any, source: str, target: str) -> None:
    for end in (source, target):
        if end not in graph:
            raise ValueError(f"a link names the node {end!r}, which is not there")
    graph.add_edge(source, target)
