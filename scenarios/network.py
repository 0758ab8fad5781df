"""Round-trip times of a scenario: from a topology, from places, or from measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ..core import problem as core
from ..core.between import MOST_HELD, Between
from ..core.content import FloatArray, IntArray
from ..core.errors import InputProblem, ScenarioError
from ..core.names import Relay
from ..perfmodel.network import DistanceMode, pairs_below_floor, rtt_from_coordinates_s
from ..perfmodel.places import ByPlace
from . import schema
from .defects import MAX_LISTED
from .files import read_referenced
from .measured import End, Measured, measured_rtt_s
from .places import city
from .topologies import Topology, TopologyMode, load_topology, names_file, topology_rtt_s
from .uplinks import MBIT, build_uplinks
from .wire import figures

Place = tuple[float, float] | None
#: (clients, servers), and between servers.
Times = tuple[FloatArray, Between]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The built network, where everything is, what was read, what should and what may be said."""

    network: core.Network
    client_places: tuple[Place, ...]
    server_places: tuple[Place, ...]
    referenced: tuple[bytes, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def build_network(
    given: schema.Network, clients: Sequence[End], servers: Sequence[End], base_dir: Path
) -> Network:
    """RTTs between clients and servers, seconds.

    Raises
    ------
    ScenarioError
        Naming every endpoint without a place and every pair without a time.
    """
    ends = [*clients, *servers]
    referenced: list[bytes] = []
    warnings: list[str] = []
    topology = _topology(given, base_dir, referenced)
    nodes = _nodes(ends, topology)
    notes = [f"network.topology: {topology.name}: {n}" for n in topology.notes] if topology else []
    if topology is not None and _by_links(given.delay, nodes, topology):
        warnings += notes
    places = _places(ends, nodes, topology)
    count = len(clients)
    if given.delay == "measured":
        if len(servers) > MOST_HELD:
            raise ScenarioError.single(
                "network.delay",
                f"'measured' holds all pairs, of at most {MOST_HELD:,} servers: use 'internet' "
                "with lat and lon, a city or a topology node for each",
            )
        measured = measured_rtt_s(given, ends, base_dir, referenced)
        rtt = _filled(measured, places, ends, count, given.relay, warnings)
        alone = ~measured.pair  # a ping of the pair has its last miles in it
        times = _held(rtt, alone, places, ends, count, given.delay, warnings)
    else:
        if given.rtt_ms or given.rtt_csv or given.region_rtt_ms:
            raise ScenarioError.single(
                "network.delay", "must be 'measured' where round-trip times are given"
            )
        if len(servers) > MOST_HELD:
            times = _worked_out(given.delay, ends, nodes, places, topology, count, warnings)
        else:
            rtt = _modelled(given.delay, ends, nodes, places, topology)
            alone = np.ones(rtt.shape, dtype=bool)
            times = _held(rtt, alone, places, ends, count, given.delay, warnings)
    return Network(
        network=core.Network(
            client_rtt_s=times[0],
            server_rtt_s=times[1],
            step_overhead_s=given.step_overhead_ms / 1e3,
            prefill_overhead_s=given.prefill_overhead_ms / 1e3,
            prefill_overhead_per_token_s=given.prefill_overhead_us_per_token / 1e6,
            client_bandwidth_bytes_per_s=_bandwidth(servers, count),
            relay=given.relay,
            server_bandwidth_bytes_per_s=_between(given, servers),
            uplinks=build_uplinks(given.uplinks, clients, servers),
            wire_s_per_token=tuple(
                (w, us / 1e6) for w, us in figures(given.wire_us_per_token).items()
            ),
        ),
        client_places=_known(places[:count]),
        server_places=_known(places[count:]),
        referenced=tuple(referenced),
        warnings=tuple(warnings),
        notes=tuple(notes),
    )


def _held(
    rtt: FloatArray,
    alone: NDArray[np.bool_],
    places: FloatArray,
    ends: Sequence[End],
    clients: int,
    delay: str,
    warnings: list[str],
) -> Times:
    """Times of which all pairs are held: with last miles where ``alone``."""
    warnings += _floor_warnings(rtt, places, ends, delay)
    last = _last_s(ends)
    rtt += np.where(alone, last[:, None] + last[None, :], 0.0)
    np.fill_diagonal(rtt, 0.0)
    return rtt[:clients, clients:], rtt[clients:, clients:]


def _worked_out(
    mode: TopologyMode,
    ends: Sequence[End],
    nodes: Sequence[int | None],
    places: FloatArray,
    topology: Topology | None,
    clients: int,
    warnings: list[str],
) -> Times:
    """The same times, those between servers worked out when they are asked for."""
    noded = np.array([node is not None for node in nodes])
    placed = np.isfinite(places).all(axis=1) & (mode != "repetita")
    kind: IntArray = 2 * noded + placed.astype(np.int64)
    count = np.bincount(kind, minlength=4)
    # Two machines have a time if both have a node, or both a place.
    alone = [any(not a & b and count[b] > (a == b) for b in range(4)) for a in range(4)]
    lost = np.flatnonzero(np.array(alone)[kind])
    if len(lost):
        _refuse_lost(mode, lost.tolist(), ends, nodes, places)
    machines = ByPlace(
        lat_lon=places,
        mode="fibre" if mode == "fibre" else "internet",
        last_s=_last_s(ends),
        node=np.array([-1 if node is None else node for node in nodes]),
        graph_s=_graph_s(mode, nodes, topology),
    )
    if mode == "repetita":
        warnings.append(
            "delay = 'repetita' puts pairs below the light-in-fibre floor: it reproduces published "
            "results, plan with 'internet'"
        )
    rows = np.arange(clients, len(ends))
    return machines[np.ix_(np.arange(clients), rows)], machines.part(rows)


def _last_s(ends: Sequence[End]) -> FloatArray:
    """(N,) last miles, seconds."""
    last: FloatArray = np.array([e.given.last_mile_ms for e in ends]) / 1e3
    return last


def _by_links(delay: str, nodes: Sequence[int | None], topology: Topology) -> bool:
    """Whether times follow from the links of a topology: what it lacks does harm then."""
    rows = [row for row in nodes if row is not None]
    unplaced = np.isnan(topology.coordinates[rows]).any()
    return delay in ("fibre", "repetita") or (delay == "internet" and bool(unplaced))


def _topology(given: schema.Network, base_dir: Path, referenced: list[bytes]) -> Topology | None:
    if given.topology is None:
        return None
    try:
        topology = load_topology(given.topology, base_dir)
    except ScenarioError as error:
        where = error.source
        text = "; ".join(f"{where}: {p}" if where else str(p) for p in error.problems)
        raise ScenarioError.single("network.topology", text) from error
    if names_file(given.topology, base_dir):
        referenced.append(read_referenced(base_dir / given.topology, "network.topology"))
    return topology


def _nodes(ends: Sequence[End], topology: Topology | None) -> list[int | None]:
    """Topology row of each endpoint that names a node."""
    wrong: list[InputProblem] = []
    rows: list[int | None] = []
    for end in ends:
        node, row = end.given.node, None
        if node is not None and topology is None:
            wrong.append(InputProblem(f"{end.where}.node", "needs a topology in [network]"))
        elif node is not None and topology is not None:
            try:
                row = topology.row(str(node))
            except ScenarioError as error:
                wrong += [InputProblem(f"{end.where}.node", p.message) for p in error.problems]
        rows.append(row)
    if wrong:
        raise ScenarioError(_once(wrong))
    return rows


def _once(wrong: Sequence[InputProblem]) -> list[InputProblem]:
    """Each defect once: the servers of one ``count`` share theirs."""
    return list(dict.fromkeys(wrong))[:50]


def _places(
    ends: Sequence[End], nodes: Sequence[int | None], topology: Topology | None
) -> FloatArray:
    """(N, 2) latitude and longitude, nan where unknown: own ones, the city's or the node's."""
    places = np.full((len(ends), 2), np.nan)
    wrong: list[InputProblem] = []
    for i, (end, node) in enumerate(zip(ends, nodes, strict=True)):
        lat, lon = end.given.lat, end.given.lon
        if (lat is None) != (lon is None):
            missing = "lat" if lat is None else "lon"
            wrong.append(InputProblem(f"{end.where}.{missing}", "give lat and lon together"))
        elif lat is not None and lon is not None:
            places[i] = lat, lon
        elif end.given.city is not None:
            try:
                known = city(end.given.city)
                places[i] = known.lat, known.lon
            except ScenarioError as error:
                wrong += [InputProblem(f"{end.where}.city", p.message) for p in error.problems]
        elif node is not None and topology is not None:
            places[i] = topology.coordinates[node]
    if wrong:
        raise ScenarioError(_once(wrong))
    return places


def _known(places: FloatArray) -> tuple[Place, ...]:
    return tuple(None if np.isnan(p).any() else (float(p[0]), float(p[1])) for p in places)


def _modelled(
    mode: TopologyMode,
    ends: Sequence[End],
    nodes: Sequence[int | None],
    places: FloatArray,
    topology: Topology | None,
) -> FloatArray:
    """(N, N) from the graph where both ends have a node, else from their distance."""
    rtt = np.full((len(ends), len(ends)), np.nan)
    if mode != "repetita":
        rtt = _by_distance(places, mode)
    have = [i for i, node in enumerate(nodes) if node is not None]
    graph = _graph_s(mode, nodes, topology)
    if len(graph):
        rows = np.array([nodes[i] for i in have])
        rtt[np.ix_(have, have)] = graph[np.ix_(rows, rows)]
    np.fill_diagonal(rtt, 0.0)
    lost = np.flatnonzero(np.isnan(rtt).any(axis=1)).tolist()
    if lost:
        _refuse_lost(mode, lost, ends, nodes, places)
    return rtt


def _graph_s(
    mode: TopologyMode, nodes: Sequence[int | None], topology: Topology | None
) -> FloatArray:
    """(nodes, nodes) seconds, the diagonal for two machines at one; empty where nobody has one."""
    used = [node for node in nodes if node is not None]
    if topology is None or not used:
        return np.zeros((0, 0))
    try:
        graph = topology_rtt_s(topology, mode, used)
    except ScenarioError as error:
        raise ScenarioError.single("network.topology", str(error)) from error
    if mode == "internet":  # two machines of one city are as far apart as by coordinates
        np.fill_diagonal(graph, _same_place_s(mode))
    return graph


def _refuse_lost(
    mode: TopologyMode,
    lost: Sequence[int],
    ends: Sequence[End],
    nodes: Sequence[int | None],
    places: FloatArray,
) -> NoReturn:
    """Name the machines that have no time to some others."""
    need = "a topology node" if mode == "repetita" else "lat and lon, or a topology node"
    placed = mode != "repetita"
    bad = [i for i in lost if nodes[i] is None and not (placed and np.isfinite(places[i]).all())]
    message = f"has no place: give {need}"
    raise ScenarioError(_once([InputProblem(ends[i].where, message) for i in bad or lost]))


def _by_distance(places: FloatArray, mode: DistanceMode) -> FloatArray:
    """(N, N) seconds, nan where a place is unknown; each distinct place is computed once."""
    key = np.nan_to_num(places, nan=999.0)
    _, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
    distinct = rtt_from_coordinates_s(places[first], mode)
    known = np.isfinite(places[first]).all(axis=1)
    np.fill_diagonal(distinct, np.where(known, _same_place_s(mode), np.nan))
    rows = inverse.reshape(-1)
    rtt: FloatArray = distinct[np.ix_(rows, rows)]
    np.fill_diagonal(rtt, 0.0)
    return rtt


def _same_place_s(mode: DistanceMode) -> float:
    """Round trip between two machines at one place."""
    return float(rtt_from_coordinates_s([[0.0, 0.0], [0.0, 0.0]], mode)[0, 1])


def _filled(
    measured: Measured,
    places: FloatArray,
    ends: Sequence[End],
    clients: int,
    relay: Relay,
    warnings: list[str],
) -> FloatArray:
    """Gaps take the distance; what the relay needs and has no time then is an error.

    Where every hop returns to the client, two servers need no time: they get that of the way
    by the nearest client, which only PETALS' own routing asks for.
    """
    warnings += measured.warnings
    rtt = np.where(np.isnan(measured.rtt_s), _by_distance(places, "internet"), measured.rtt_s)
    np.fill_diagonal(rtt, 0.0)
    needed = np.zeros(rtt.shape, dtype=bool)
    needed[:clients, clients:] = True
    needed[clients:, clients:] = relay != "client"
    gaps = np.argwhere(np.triu(np.isnan(rtt) & needed))
    if len(gaps):
        text = "is not measured and cannot be estimated: give lat and lon of both"
        wrong = [
            InputProblem("network", f"rtt {ends[i].id} - {ends[j].id} {text}") for i, j in gaps
        ]
        raise ScenarioError([*measured.hints, *wrong[:MAX_LISTED]])
    between = np.isnan(rtt[clients:, clients:])
    if between.any():
        way = np.full(between.shape, np.inf)
        for leg in rtt[:clients, clients:]:
            way = np.minimum(way, leg[:, None] + leg[None, :])
        rtt[clients:, clients:] = np.where(between, way, rtt[clients:, clients:])
        warnings.append(
            f"{int(np.triu(between).sum())} pairs of servers have no round-trip time and need none "
            "with relay = 'client'; PETALS' own routing, which asks, is told the way by the "
            "nearest client"
        )
    return rtt


def _bandwidth(servers: Sequence[End], clients: int) -> FloatArray | None:
    """(clients, n) bytes/s, None when no server gives one (transfer is then free)."""
    given = [s.given.bandwidth_mbit_per_s for s in servers if isinstance(s.given, schema.Server)]
    if all(b is None for b in given):
        return None
    row = [(b or np.inf) * MBIT for b in given]
    return np.tile(np.array(row), (clients, 1))


def _between(given: schema.Network, servers: Sequence[End]) -> FloatArray | None:
    """(n, n) bytes/s of links between servers, row = from; None when nothing is said of them."""
    matrix, table = given.server_mbit_per_s, given.region_mbit_per_s
    if matrix is None and table is None:
        return None
    field = "server_mbit_per_s" if matrix is not None else "region_mbit_per_s"
    if given.relay != "pipeline":
        message = 'needs relay = "pipeline": in the other modes hidden states go by the client'
        raise ScenarioError.single(f"network.{field}", message)
    n = len(servers)
    rates = np.full((n, n), np.inf)
    if table is not None:
        regions = [s.given.region for s in servers]
        unknown = sorted({*table, *(b for row in table.values() for b in row)} - set(regions))
        if unknown:
            message = f"no server is in region {unknown[0]!r}"
            raise ScenarioError.single("network.region_mbit_per_s", message)
        for i, j in np.ndindex(n, n):
            a, b = regions[i], regions[j]
            mbit = table.get(a, {}).get(b) or table.get(b, {}).get(a)
            rates[i, j] = np.inf if mbit is None else mbit * MBIT
    if matrix is not None:
        if len(matrix) != n or any(len(row) != n for row in matrix):
            message = f"must be {n} x {n}: the servers (count unrolled), in file order"
            raise ScenarioError.single("network.server_mbit_per_s", message)
        known = np.array(matrix, dtype=np.float64) * MBIT  # None becomes nan
        rates = np.where(np.isnan(known), rates, known)
    np.fill_diagonal(rates, np.inf)
    return rates


def _floor_warnings(
    rtt: FloatArray, places: FloatArray, ends: Sequence[End], delay: str
) -> tuple[str, ...]:
    """Times that light in fibre could not reach; all of REPETITA's are such, so one line."""
    if delay not in ("measured", "repetita"):
        return ()
    found = pairs_below_floor(rtt, places)
    if found and delay == "repetita":
        return (
            f"delay = 'repetita' puts {len(found)} of {len(ends) * (len(ends) - 1) // 2} pairs "
            "below the light-in-fibre floor: it reproduces published results, plan with 'internet'",
        )
    lines = [
        f"RTT {ends[i].id} - {ends[j].id} is {seconds * 1e3:.4g} ms, but light in fibre needs "
        f"{floor * 1e3:.4g} ms: wrong place or wrong time"
        for i, j, seconds, floor in found[:10]
    ]
    if len(found) > 10:
        lines.append(f"and {len(found) - 10} more pairs below the light-in-fibre floor")
    return tuple(lines)
