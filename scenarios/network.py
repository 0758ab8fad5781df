"""Round-trip times of a scenario: from a topology, from places, or from a measured matrix."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core import problem as core
from ..core.errors import InputProblem, ScenarioError
from ..core.problem import FloatArray
from ..perfmodel.network import pairs_below_floor, rtt_from_coordinates_s
from . import schema
from .topologies import Topology, TopologyMode, load_topology, topology_rtt_s

MBIT = 1e6 / 8
Place = tuple[float, float] | None
Endpoint = schema.Client | schema.Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The built network, where everything is, and what was read or should be said."""

    network: core.Network
    client_places: tuple[Place, ...]
    server_places: tuple[Place, ...]
    referenced: tuple[bytes, ...]
    warnings: tuple[str, ...]


def build_network(
    document: schema.Scenario, servers: Sequence[schema.Server], base_dir: Path
) -> Network:
    """RTTs between clients and servers, seconds.

    Raises
    ------
    ScenarioError
        Naming every endpoint without a place and every pair without a time.
    """
    given = document.network
    ends: list[Endpoint] = [*document.clients, *servers]
    topology = load_topology(given.topology, base_dir) if given.topology else None
    nodes = _nodes(document, ends, topology)
    places = _places(ends, nodes, topology)
    referenced: list[bytes] = []
    if given.delay == "measured":
        rtt = _measured(document, ends, base_dir, referenced)
        rtt = _filled(rtt, places, ends)
    else:
        rtt = _modelled(given.delay, ends, nodes, places, topology)
    last = np.array([e.last_mile_ms for e in ends]) / 1e3
    rtt = rtt + last[:, None] + last[None, :]
    np.fill_diagonal(rtt, 0.0)
    count = len(document.clients)
    return Network(
        network=core.Network(
            client_rtt_s=rtt[:count, count:],
            server_rtt_s=rtt[count:, count:],
            step_overhead_s=given.step_overhead_ms / 1e3,
            prefill_overhead_s=given.prefill_overhead_ms / 1e3,
            prefill_overhead_per_token_s=given.prefill_overhead_us_per_token / 1e6,
            client_bandwidth_bytes_per_s=_bandwidth(servers, count),
            relay=given.relay,
        ),
        client_places=_known(places[:count]),
        server_places=_known(places[count:]),
        referenced=tuple(referenced),
        warnings=_floor_warnings(rtt, places, ends) if given.delay == "measured" else (),
    )


def _nodes(
    document: schema.Scenario, ends: Sequence[Endpoint], topology: Topology | None
) -> list[int | None]:
    """Topology row of each endpoint that names a node."""
    wrong: list[InputProblem] = []
    rows: list[int | None] = []
    for end in ends:
        row = None
        if end.node is not None and topology is None:
            wrong.append(InputProblem(f"[{end.id}].node", "needs a topology in [network]"))
        elif end.node is not None and topology is not None:
            try:
                row = topology.row(str(end.node))
            except ScenarioError as error:
                wrong += [InputProblem(f"[{end.id}].node", p.message) for p in error.problems]
        rows.append(row)
    if wrong:
        raise ScenarioError(wrong)
    return rows


def _places(
    ends: Sequence[Endpoint], nodes: Sequence[int | None], topology: Topology | None
) -> FloatArray:
    """(N, 2) latitude and longitude, nan where unknown; own coordinates win over the node's."""
    places = np.full((len(ends), 2), np.nan)
    for i, (end, node) in enumerate(zip(ends, nodes, strict=True)):
        if (end.lat is None) != (end.lon is None):
            raise ScenarioError.single(f"[{end.id}].lat", "give lat and lon together")
        if end.lat is not None and end.lon is not None:
            places[i] = end.lat, end.lon
        elif node is not None and topology is not None:
            places[i] = topology.coordinates[node]
    return places


def _known(places: FloatArray) -> tuple[Place, ...]:
    return tuple(None if np.isnan(p).any() else (float(p[0]), float(p[1])) for p in places)


def _modelled(
    mode: TopologyMode,
    ends: Sequence[Endpoint],
    nodes: Sequence[int | None],
    places: FloatArray,
    topology: Topology | None,
) -> FloatArray:
    """(N, N) from the graph where both ends have a node, else from their distance."""
    rtt = np.full((len(ends), len(ends)), np.nan)
    if mode != "repetita":
        rtt = rtt_from_coordinates_s(places, "fibre" if mode == "fibre" else "internet").copy()
    have = [i for i, node in enumerate(nodes) if node is not None]
    if topology is not None and have:
        graph = topology_rtt_s(topology, mode)
        rows = np.array([nodes[i] for i in have])
        rtt[np.ix_(have, have)] = graph[np.ix_(rows, rows)]
    np.fill_diagonal(rtt, 0.0)
    lost = np.flatnonzero(np.isnan(rtt).any(axis=1))
    if len(lost):
        need = "a topology node" if mode == "repetita" else "lat and lon, or a topology node"
        bad = [i for i in range(len(ends)) if nodes[i] is None and np.isnan(places[i]).any()]
        if mode == "repetita":
            bad = [i for i in range(len(ends)) if nodes[i] is None]
        raise ScenarioError(
            [
                InputProblem(f"[{ends[i].id}]", f"has no place: give {need}")
                for i in (bad or lost.tolist())[:50]
            ]
        )
    return rtt


def _measured(
    document: schema.Scenario, ends: Sequence[Endpoint], base_dir: Path, referenced: list[bytes]
) -> FloatArray:
    """(N, N) seconds of the matrix in the file or of a CSV, nan where not measured."""
    given = document.network
    n = len(ends)
    if (given.rtt_ms is None) == (given.rtt_csv is None):
        raise ScenarioError.single("delay", "measured needs either rtt_ms or rtt_csv")
    if given.rtt_csv is not None:
        return _from_csv(base_dir / given.rtt_csv, ends, referenced)
    rows = given.rtt_ms or []
    if len(rows) != n or any(len(r) != n for r in rows):
        raise ScenarioError.single(
            "rtt_ms", f"must be {n} x {n}: the clients, then the servers (count unrolled), in order"
        )
    return np.array(rows) / 1e3


def _from_csv(path: Path, ends: Sequence[Endpoint], referenced: list[bytes]) -> FloatArray:
    """A table with ids in the first row and column, ms, empty = not measured."""
    from .load import read_bytes

    content = read_bytes(path)
    referenced.append(content)
    try:
        table = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError.single("rtt_csv", f"{path} is not a CSV file: {error}") from error
    table = [row for row in table if row]
    if not table:
        raise ScenarioError.single("rtt_csv", f"{path} is empty")
    columns = {name.strip(): i for i, name in enumerate(table[0]) if i}
    rtt = np.full((len(ends), len(ends)), np.nan)
    lines = {row[0].strip(): (at, row) for at, row in enumerate(table[1:], start=2)}
    wrong: list[InputProblem] = []
    for i, one in enumerate(ends):
        if one.id not in lines:
            continue
        at, row = lines[one.id]
        for j, other in enumerate(ends):
            column = columns.get(other.id)
            if column is None or column >= len(row) or not row[column].strip():
                continue
            try:
                value = float(row[column])
            except ValueError:
                value = float("nan")
            if not 0 <= value < 1e9:
                text = f"{row[column]!r} is not a time in ms"
                wrong.append(InputProblem(f"rtt_csv line {at} column {other.id}", text))
                continue
            rtt[i, j] = value / 1e3
    if wrong:
        raise ScenarioError(wrong[:50])
    return rtt


def _filled(rtt: FloatArray, places: FloatArray, ends: Sequence[Endpoint]) -> FloatArray:
    """Gaps take the other direction, then the distance; what is left is an error."""
    rtt = np.where(np.isnan(rtt), rtt.T, rtt)
    rtt = np.where(np.isnan(rtt), rtt_from_coordinates_s(places, "internet"), rtt)
    np.fill_diagonal(rtt, 0.0)
    gaps = [(i, j) for i, j in np.argwhere(np.isnan(rtt)) if i < j]
    if gaps:
        raise ScenarioError(
            [
                InputProblem(
                    f"rtt {ends[i].id} - {ends[j].id}",
                    "is not measured and cannot be estimated: give lat and lon of both",
                )
                for i, j in gaps[:50]
            ]
        )
    return rtt


def _bandwidth(servers: Sequence[schema.Server], clients: int) -> FloatArray | None:
    """(clients, n) bytes/s, None when no server gives one (transfer is then free)."""
    if all(s.bandwidth_mbit_per_s is None for s in servers):
        return None
    row = [(s.bandwidth_mbit_per_s or np.inf) * MBIT for s in servers]
    return np.tile(np.array(row), (clients, 1))


def _floor_warnings(
    rtt: FloatArray, places: FloatArray, ends: Sequence[Endpoint]
) -> tuple[str, ...]:
    """Measured times that light in fibre could not reach."""
    found = pairs_below_floor(rtt, places)
    lines = [
        f"RTT {ends[i].id} - {ends[j].id} is {seconds * 1e3:.4g} ms, but light in fibre needs "
        f"{floor * 1e3:.4g} ms: wrong place or wrong time"
        for i, j, seconds, floor in found[:10]
    ]
    if len(found) > 10:
        lines.append(f"and {len(found) - 10} more pairs below the light-in-fibre floor")
    return tuple(lines)
