"""Network topologies: files of the usual forms and the graphs that topohub ships.

REPETITA's link delays are ``km / 0.6`` microseconds: twice the speed of light in vacuum. They
reproduce published results; plan with ``fibre``, ``internet`` or measured times
(docs/perfmodel.md).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.content import FloatArray, IntArray, frozen_array
from ..core.errors import ScenarioError
from ..core.plugins import Group, added, loaded
from ..perfmodel.catalogue import unknown_name
from ..perfmodel.network import FIBRE_KM_PER_S, great_circle_km, rtt_from_coordinates_s
from .files import decode
from .graphfile import MAX_LINKS, MAX_NODES, parse_graph
from .graphforms import SUFFIXES, is_repetita, read_graph
from .packed import PACKED, unpacked

GROUP: Group = "swarmplan.topologies"
TopologyMode = Literal["repetita", "fibre", "internet"]
REPETITA_KM_PER_S = 0.6e6
MAX_FILE_BYTES = 16 * 2**20
_GROUPS = ("topozoo", "sndlib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A graph of places and links; every link is directed and comes with its reverse or without.

    Attributes
    ----------
    labels : (N,) unique names of the nodes, row = node number.
    coordinates : (N, 2) latitude and longitude in degrees; nan = unknown place.
    sources, targets : (E,) node rows of each link.
    km : (E,) length of each link.
    delay_s : (E,) one-way delay as published.
    ids : (N,) what the file calls its nodes beside their labels; empty = they have numbers only.
    plane : why the coordinates are no places, empty where they are.
    notes : what is missing or was assumed.
    """

    name: str
    labels: tuple[str, ...]
    coordinates: FloatArray
    sources: IntArray
    targets: IntArray
    km: FloatArray
    delay_s: FloatArray
    ids: tuple[str, ...] = ()
    plane: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("coordinates", "km", "delay_s"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.float64))
        for name in ("sources", "targets"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.int64))

    def row(self, node: str) -> int:
        """Row of a node by its label (upper and lower case alike), by its id or by its number.

        Raises
        ------
        ScenarioError
            If no node has that name.
        """
        folded = {label.casefold(): i for i, label in enumerate(self.labels)}
        if node.casefold() in folded:
            return folded[node.casefold()]
        if node in self.ids:
            return self.ids.index(node)
        if not self.ids and node.isdecimal() and int(node) < len(self.labels):
            return int(node)
        raise unknown_name(f"node of topology {self.name}", node, self.labels)


def load_topology(name_or_path: str, base_dir: Path) -> Topology:
    """A topology from a file or by its name.

    Parameters
    ----------
    name_or_path : a file (``names_file``), relative to ``base_dir``; or a name such as ``Abvt``,
        ``topozoo/Abvt`` or ``sndlib/polska``, in any case; or as another package calls one that it
        adds (docs/library.md).
    base_dir : folder of the file that names the topology.

    Raises
    ------
    ScenarioError
        If the file cannot be read or parsed, or no topology has that name.
    """
    if names_file(name_or_path, base_dir):
        return _from_file(base_dir / name_or_path)
    if name_or_path in added(GROUP):
        return _from_package(name_or_path)
    return _from_topohub(name_or_path)


def names_file(name: str, base_dir: Path | None = None) -> bool:
    """Whether a topology's name is that of a file: by its ending, or since it is there."""
    suffixes = [suffix.casefold() for suffix in Path(name).suffixes[-2:]]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    try:
        there = base_dir is not None and (base_dir / name).is_file()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    return there or bool(suffixes and suffixes[-1] in SUFFIXES)


def _from_package(name: str) -> Topology:
    """What the function of an entry point returns."""
    made = loaded(GROUP, name)()
    if not isinstance(made, Topology):
        message = f"the entry point {name!r} of {GROUP} gives {type(made).__name__}, no Topology"
        raise ScenarioError.single("", message)
    return made


def _from_file(path: Path) -> Topology:
    try:
        content = unpacked(path, "", MAX_FILE_BYTES)
    except ScenarioError as error:
        message = f"cannot read the topology: {error.problems[0].message}"
        raise ScenarioError.single("", message) from error
    name = path.name.partition(".")[0]
    if is_repetita(content) or path.suffix.casefold() == ".graph":
        return _from_repetita(decode(content, path, ""), name, str(path))
    return _from_graph(read_graph(content, str(path)), name, str(path))


def _from_repetita(text: str, name: str, source: str) -> Topology:
    graph = parse_graph(text, source=source)
    coordinates = _known(graph.lat_lon, graph.plane)
    sources = np.array([link[0] for link in graph.links], dtype=np.int64)
    targets = np.array([link[1] for link in graph.links], dtype=np.int64)
    delay_s = np.array([link[2] for link in graph.links], dtype=np.float64) / 1e6
    km = great_circle_km(coordinates)[sources, targets]
    return Topology(
        name=name,
        labels=_unique(graph.labels),
        coordinates=coordinates,
        sources=sources,
        targets=targets,
        km=np.where(np.isnan(km), delay_s * REPETITA_KM_PER_S, km),
        delay_s=delay_s,
        plane=graph.plane,
        notes=(f"{graph.plane}: no coordinates are used",) if graph.plane else (),
    )


def _known(lat_lon: Sequence[tuple[float, float]], plane: str) -> FloatArray:
    """(N, 2) degrees; nan where a place is not known: 0 0, and all of a plane."""
    coordinates = np.array(lat_lon, dtype=np.float64).reshape(-1, 2)
    coordinates[(coordinates == 0.0).all(axis=1)] = np.nan
    return np.full_like(coordinates, np.nan) if plane else coordinates


def _from_graph(graph: Any, name: str, source: str) -> Topology:
    """A graph of places; its links lead both ways and are as long as the great circle."""
    rows = {node: i for i, node in enumerate(graph)}
    links = [
        (rows[a], rows[b], d.get("km", np.nan)) for a, b, d in graph.edges(data=True) if a != b
    ]
    if not 1 <= len(rows) <= MAX_NODES or len(links) > MAX_LINKS:
        message = (
            f"has {len(rows)} nodes and {len(links)} links; 1 to {MAX_NODES} and {MAX_LINKS} fit"
        )
        raise ScenarioError.single("", message, source=source)
    lat_lon = [(d.get("lat", 0.0), d.get("lon", 0.0)) for _, d in graph.nodes(data=True)]
    labels = _unique(tuple(str(d["label"]) for _, d in graph.nodes(data=True)))
    plane = str(graph.graph.get("plane", "")) or _off_the_map(lat_lon, labels)
    if not plane and not any(lat or lon for lat, lon in lat_lon):
        plane = "no node has a latitude and a longitude"
    coordinates = _known(lat_lon, plane)
    sources = np.array([x for a, b, _ in links for x in (a, b)], dtype=np.int64)
    targets = np.array([x for a, b, _ in links for x in (b, a)], dtype=np.int64)
    given = np.repeat(np.array([km for *_, km in links], dtype=np.float64), 2)
    between = great_circle_km(_amid(coordinates, sources, targets))[sources, targets]
    km = np.where(np.isnan(given), between, given)
    known = ~np.isnan(km)
    return Topology(
        name=name,
        labels=labels,
        coordinates=coordinates,
        sources=sources[known],
        targets=targets[known],
        km=km[known],
        delay_s=km[known] / REPETITA_KM_PER_S,
        ids=tuple(map(str, graph)),
        plane="" if known.all() else plane,
        notes=_unplaced(labels, coordinates, int((~known).sum()) // 2),
    )


def _off_the_map(lat_lon: Sequence[tuple[float, float]], labels: Sequence[str]) -> str:
    """Why coordinates are no places: the first that is none."""
    for (lat, lon), label in zip(lat_lon, labels, strict=True):
        if not (abs(lat) <= 90.0 and abs(lon) <= 180.0):
            return f"{label}: longitude {lon:g}, latitude {lat:g} is no place"
    return ""


def _amid(coordinates: FloatArray, sources: IntArray, targets: IntArray) -> FloatArray:
    """Places of all nodes: one that has none lies amid its neighbours, for the length of its links.

    Nodes from which no link leads to a place stay unknown.
    """
    lat, lon = np.radians(coordinates).T
    given = ~np.isnan(lat)
    points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    points[~given] = 0.0
    for _ in range(200 if not given.all() else 0):
        pulled = np.zeros_like(points)
        np.add.at(pulled, sources, points[targets])
        length = np.linalg.norm(pulled, axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = np.where(length > 0.0, pulled / length, 0.0)
        points = np.where(given[:, None], points, moved)
    found = np.linalg.norm(points, axis=1) > 0.5
    degrees = np.degrees(
        np.stack(
            [np.arcsin(np.clip(points[:, 2], -1, 1)), np.arctan2(points[:, 1], points[:, 0])], 1
        )
    )
    return np.where(found[:, None], degrees, np.nan)


def _unplaced(labels: Sequence[str], coordinates: FloatArray, lost: int) -> tuple[str, ...]:
    """What to say of nodes without a place."""
    rows = np.flatnonzero(np.isnan(coordinates).any(axis=1)).tolist()
    if not rows:
        return ()
    names = ", ".join(labels[i] for i in rows[:5]) + (", ..." if len(rows) > 5 else "")
    note = (
        f"{len(rows)} of {len(labels)} nodes have no place ({names}): for the lengths of their "
        "links they are taken to lie amid their neighbours"
    )
    return (note, *((f"{lost} links have no length and are left out",) if lost else ()))


def _from_topohub(name: str) -> Topology:
    key = _topohub_key(name)
    text = (_topohub_data() / f"{key}.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    rows = {node["id"]: i for i, node in enumerate(data["nodes"])}
    links = [(rows[e["source"]], rows[e["target"]], float(e["dist"])) for e in data["edges"]]
    both = links + [(target, source, km) for source, target, km in links]
    km = np.array([link[2] for link in both], dtype=np.float64)
    rows_left = {int(node["id"]) for node in data["nodes"] if str(node["id"]).isdecimal()}
    lost = sorted(set(range(max(rows_left, default=-1) + 1)) - rows_left)
    positions = [node.get("pos") or (0.0, 0.0) for node in data["nodes"]]
    coordinates = _known([(lat, lon) for lon, lat in positions], "")
    return Topology(
        name=key.rpartition("/")[2],
        labels=_unique(tuple(str(node.get("name") or node["id"]) for node in data["nodes"])),
        coordinates=coordinates,
        sources=np.array([link[0] for link in both], dtype=np.int64),
        targets=np.array([link[1] for link in both], dtype=np.int64),
        km=km,
        delay_s=km / REPETITA_KM_PER_S,
        notes=_lost(lost, len(data["nodes"])),
    )


def _lost(ids: Sequence[int], left: int) -> tuple[str, ...]:
    """topohub leaves out nodes without a known place; their numbers are missing."""
    if not ids:
        return ()
    shown = ", ".join(map(str, ids[:5])) + (", ..." if len(ids) > 5 else "")
    return (
        f"topohub has {left} of at least {left + len(ids)} nodes of this network: those without a "
        f"place are left out (its numbers {shown}), their links too; the .graphml or .gml of the "
        "Topology Zoo has all",
    )


@cache
def topology_names() -> tuple[str, ...]:
    """Names that ``load_topology`` knows beside files, as ``group/name``."""
    data = _topohub_data()
    return tuple(
        f"{group}/{entry.name.removesuffix('.json')}"
        for group in _GROUPS
        for entry in sorted((data / group).iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".json")
    )


def _topohub_data() -> Traversable:
    """Folder of topohub's graphs; read here because topohub.get leaves its files open."""
    from importlib.resources import files

    return files("topohub") / "data"


def _topohub_key(name: str) -> str:
    wanted = name.casefold()
    for key in topology_names():
        if wanted in (key.casefold(), key.rpartition("/")[2].casefold()):
            return key
    known = topology_names()
    short = known if "/" in name else tuple(key.rpartition("/")[2] for key in known)
    error = unknown_name("topology", name, (*short, *added(GROUP)))
    hint = f"a file needs a name that ends in {', '.join(SUFFIXES)}"
    raise ScenarioError.single("", f"{error.problems[0].message}; {hint}")


def _unique(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Labels with ``#row`` behind those that occur more than once."""
    count = Counter(label.casefold() for label in labels)
    return tuple(
        f"{label}#{i}" if count[label.casefold()] > 1 else label for i, label in enumerate(labels)
    )


def topology_rtt_s(
    topology: Topology, mode: TopologyMode, used: Sequence[int] | None = None
) -> FloatArray:
    """Round-trip times between all nodes.

    Parameters
    ----------
    topology : its links are followed by the modes ``repetita`` and ``fibre``.
    mode : ``repetita`` = twice the shortest path of the published delays; ``fibre`` = twice the
        shortest path at the speed of light in fibre; ``internet`` = a typical path by great
        circle, where a place is unknown the fibre path times the median ratio of the others.
    used : rows that have to reach each other; None = all. Times of others may be infinite.

    Returns
    -------
    (N, N) seconds, zero diagonal.

    Raises
    ------
    ScenarioError
        If some pair of nodes is not connected, or the mode needs places and there are none.
    """
    if mode == "repetita" and (len(topology.sources) or not topology.plane):
        return _reached(topology, 2.0 * _shortest_paths(topology, topology.delay_s), used)
    if topology.plane:
        message = (
            f"{topology.plane}; without places times can only be measured, or published delays"
        )
        raise ScenarioError.single("", message, source=topology.name)
    fibre = 2.0 * _shortest_paths(topology, topology.km / FIBRE_KM_PER_S)
    floor = rtt_from_coordinates_s(topology.coordinates, "fibre")
    fibre = np.fmax(fibre, floor)  # the floor is nan where a place is unknown
    if mode == "fibre":
        return _reached(topology, fibre, used)
    internet = rtt_from_coordinates_s(topology.coordinates, "internet")
    known = ~np.isnan(internet) & (fibre > 0.0) & np.isfinite(fibre)
    unknown = np.isnan(internet)
    if unknown.any():
        ratio = float(np.median(internet[known] / fibre[known])) if known.any() else 2.0
        internet[unknown] = ratio * fibre[unknown]
    return _reached(topology, internet, used)


def _shortest_paths(topology: Topology, weights: FloatArray) -> FloatArray:
    """(N, N) least sum of link weights, infinite where no path leads."""
    import networkx as nx  # slow to load

    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(len(topology.labels)))
    links = (topology.sources.tolist(), topology.targets.tolist(), weights.tolist())
    graph.add_weighted_edges_from(zip(*links, strict=True))
    distance: FloatArray = nx.floyd_warshall_numpy(graph)
    return distance


def _reached(topology: Topology, rtt_s: FloatArray, used: Sequence[int] | None) -> FloatArray:
    """The same times, where those that are used reach each other."""
    rows = range(len(topology.labels)) if used is None else sorted(set(used))
    apart = [(rows[i], rows[j]) for i, j in np.argwhere(np.isinf(rtt_s[np.ix_(rows, rows)]))]
    if apart:
        names = [f"{topology.labels[i]} to {topology.labels[j]}" for i, j in apart[:3]]
        more = f" and {len(apart) - 3} more pairs" if len(apart) > 3 else ""
        message = f"no path from {', '.join(names)}{more}; use a connected topology"
        raise ScenarioError.single("", message, source=topology.name)
    return rtt_s
