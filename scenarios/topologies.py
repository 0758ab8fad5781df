"""Network topologies: REPETITA ``.graph`` files and the graphs that topohub ships.

REPETITA's link delays are ``km / 0.6`` microseconds: twice the speed of light in vacuum. They
reproduce published results; plan with ``fibre``, ``internet`` or measured times
(docs/perfmodel.md).
"""

from __future__ import annotations

import json
from collections import Counter
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
from .files import decode, read_referenced
from .graphfile import parse_graph

GROUP: Group = "swarmplan.topologies"
TopologyMode = Literal["repetita", "fibre", "internet"]
REPETITA_KM_PER_S = 0.6e6
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
    """

    name: str
    labels: tuple[str, ...]
    coordinates: FloatArray
    sources: IntArray
    targets: IntArray
    km: FloatArray
    delay_s: FloatArray

    def __post_init__(self) -> None:
        for name in ("coordinates", "km", "delay_s"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.float64))
        for name in ("sources", "targets"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.int64))

    def row(self, node: str) -> int:
        """Row of a node given by its label (upper and lower case alike) or by its number.

        Raises
        ------
        ScenarioError
            If no node has that name.
        """
        folded = {label.casefold(): i for i, label in enumerate(self.labels)}
        if node.casefold() in folded:
            return folded[node.casefold()]
        if node.isdecimal() and int(node) < len(self.labels):
            return int(node)
        raise unknown_name(f"node of topology {self.name}", node, self.labels)


def load_topology(name_or_path: str, base_dir: Path) -> Topology:
    """A topology from a ``.graph`` file or by its name.

    Parameters
    ----------
    name_or_path : a path that ends in ``.graph``, relative to ``base_dir``; or a name such as
        ``Abvt``, ``topozoo/Abvt`` or ``sndlib/polska``, in any case; or as another package calls
        one that it adds (docs/library.md).
    base_dir : folder of the file that names the topology.

    Raises
    ------
    ScenarioError
        If the file cannot be read or parsed, or no topology has that name.
    """
    if name_or_path.endswith(".graph"):
        return _from_graph_file(base_dir / name_or_path)
    if name_or_path in added(GROUP):
        return _from_package(name_or_path)
    return _from_topohub(name_or_path)


def _from_package(name: str) -> Topology:
    """What the function of an entry point returns."""
    made = loaded(GROUP, name)()
    if not isinstance(made, Topology):
        message = f"the entry point {name!r} of {GROUP} gives {type(made).__name__}, no Topology"
        raise ScenarioError.single("", message)
    return made


def _from_graph_file(path: Path) -> Topology:
    try:
        text = decode(read_referenced(path, ""), path, "")
    except ScenarioError as error:
        message = f"cannot read the topology: {error.problems[0].message}"
        raise ScenarioError.single("", message) from error
    graph = parse_graph(text, source=str(path))
    coordinates = np.array(graph.lat_lon, dtype=np.float64).reshape(-1, 2)
    coordinates[(coordinates == 0.0).all(axis=1)] = np.nan
    sources = np.array([link[0] for link in graph.links], dtype=np.int64)
    targets = np.array([link[1] for link in graph.links], dtype=np.int64)
    delay_s = np.array([link[2] for link in graph.links], dtype=np.float64) / 1e6
    km = great_circle_km(coordinates)[sources, targets]
    return Topology(
        name=path.stem,
        labels=_unique(graph.labels),
        coordinates=coordinates,
        sources=sources,
        targets=targets,
        km=np.where(np.isnan(km), delay_s * REPETITA_KM_PER_S, km),
        delay_s=delay_s,
    )


def _from_topohub(name: str) -> Topology:
    key = _topohub_key(name)
    text = (_topohub_data() / f"{key}.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    rows = {node["id"]: i for i, node in enumerate(data["nodes"])}
    links = [(rows[e["source"]], rows[e["target"]], float(e["dist"])) for e in data["edges"]]
    both = links + [(target, source, km) for source, target, km in links]
    km = np.array([link[2] for link in both], dtype=np.float64)
    positions = [node.get("pos") or (0.0, 0.0) for node in data["nodes"]]
    coordinates = np.array([(lat, lon) for lon, lat in positions], dtype=np.float64).reshape(-1, 2)
    coordinates[(coordinates == 0.0).all(axis=1)] = np.nan
    return Topology(
        name=key.rpartition("/")[2],
        labels=_unique(tuple(str(node.get("name") or node["id"]) for node in data["nodes"])),
        coordinates=coordinates,
        sources=np.array([link[0] for link in both], dtype=np.int64),
        targets=np.array([link[1] for link in both], dtype=np.int64),
        km=km,
        delay_s=km / REPETITA_KM_PER_S,
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
    hint = "a file needs a name that ends in .graph"
    raise ScenarioError.single("", f"{error.problems[0].message}; {hint}")


def _unique(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Labels with ``#row`` behind those that occur more than once."""
    count = Counter(label.casefold() for label in labels)
    return tuple(
        f"{label}#{i}" if count[label.casefold()] > 1 else label for i, label in enumerate(labels)
    )


def topology_rtt_s(topology: Topology, mode: TopologyMode) -> FloatArray:
    """Round-trip times between all nodes.

    Parameters
    ----------
    topology : its links are followed by the modes ``repetita`` and ``fibre``.
    mode : ``repetita`` = twice the shortest path of the published delays; ``fibre`` = twice the
        shortest path at the speed of light in fibre; ``internet`` = a typical path by great
        circle, where a place is unknown the fibre path times the median ratio of the others.

    Returns
    -------
    (N, N) seconds, zero diagonal.

    Raises
    ------
    ScenarioError
        If some pair of nodes is not connected.
    """
    if mode == "repetita":
        return 2.0 * _shortest_paths(topology, topology.delay_s)
    fibre = 2.0 * _shortest_paths(topology, topology.km / FIBRE_KM_PER_S)
    floor = rtt_from_coordinates_s(topology.coordinates, "fibre")
    fibre = np.fmax(fibre, floor)  # the floor is nan where a place is unknown
    if mode == "fibre":
        return fibre
    internet = rtt_from_coordinates_s(topology.coordinates, "internet")
    known = ~np.isnan(internet) & (fibre > 0.0)
    unknown = np.isnan(internet)
    if unknown.any():
        ratio = float(np.median(internet[known] / fibre[known])) if known.any() else 2.0
        internet[unknown] = ratio * fibre[unknown]
    return internet


def _shortest_paths(topology: Topology, weights: FloatArray) -> FloatArray:
    """(N, N) least sum of link weights."""
    import networkx as nx  # slow to load

    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(len(topology.labels)))
    links = (topology.sources.tolist(), topology.targets.tolist(), weights.tolist())
    graph.add_weighted_edges_from(zip(*links, strict=True))
    distance: FloatArray = nx.floyd_warshall_numpy(graph)
    apart = np.argwhere(np.isinf(distance))
    if len(apart):
        names = [f"{topology.labels[i]} to {topology.labels[j]}" for i, j in apart[:3]]
        more = f" and {len(apart) - 3} more pairs" if len(apart) > 3 else ""
        message = f"no path from {', '.join(names)}{more}; use a connected topology"
        raise ScenarioError.single("", message, source=topology.name)
    return distance
