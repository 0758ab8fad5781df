"""Clusters of Helix (ASPLOS'25) as scenarios, and placements as its layouts.

A cluster is one JSON document, or one of Helix' own ``.ini`` files together with such a document,
which tells what its kinds of machines do. docs/throughput.md.
"""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from ..core.errors import ScenarioError
from ..core.plan import Placement
from .defects import validate
from .files import parse_file, read_bytes, write_text
from .schema import MAX_SERVERS, SCENARIO_FORMAT, Name, schema_of

#: Requests as Helix draws them: conversations of the Azure trace of 2023 of at most 2,048 prompt
#: and 1,024 output tokens, each list the means of 32 parts of equal size.
PROMPT_TOKENS = (
    *(61, 174, 194, 206, 227, 353, 379, 387, 393, 397, 401, 405, 410, 421, 520, 884),
    *(
        974,
        1002,
        1019,
        1033,
        1046,
        1059,
        1073,
        1087,
        1102,
        1119,
        1141,
        1172,
        1241,
        1314,
        1401,
        1819,
    ),
)
OUTPUT_TOKENS = (
    *(21, 50, 62, 71, 78, 83, 87, 90, 94, 97, 101, 106, 113, 122, 134, 149),
    *(163, 180, 207, 289, 379, 389, 394, 396, 400, 406, 412, 417, 426, 436, 475, 611),
)
#: Helix lets requests in up to this share of its cache entries, and counts each with its prompt and
#: the mean answer. Here each counts with its own answer, and long ones stay longer: the same
#: requests are there at once when this share is filled.
FILL, FILL_BY_OWN = 0.8, 0.87
#: Points of a curve that are kept; prompts up to so many tokens make the line of their times.
MOST_POINTS, LONG_PROMPT = 64, 2_250
#: Bytes per second at which a stage gathers the states of its batch and copies them.
GATHER_BPS, COPY_BPS = 4e9, 5e9
#: Share of the cluster's own bound that is asked for.
LOAD = 0.4

Figure = Annotated[float, Meta(gt=0, le=1e15)]
Whole = Annotated[int, Meta(ge=1, le=10**9)]
NotNegative = Annotated[float, Meta(ge=0, le=1e9)]
Points = Annotated[list[tuple[NotNegative, NotNegative]], Meta(min_length=2, max_length=100_000)]
End = int | str
SOURCE, SINK = "source", "sink"


class Model(Struct, frozen=True, kw_only=True):
    """The model that is served."""

    name: Name
    layers: Annotated[int, Meta(ge=1, le=1_000)]
    layer_bytes: Figure
    activation_bytes_per_token: Whole


class Kind(Struct, frozen=True, kw_only=True):
    """A kind of machine: measured curves, cache entries by layers held, Helix' own rating."""

    max_layers: Annotated[int, Meta(ge=1, le=1_000)]
    kv_entries: Annotated[dict[str, Figure], Meta(min_length=1)]
    prompt_ms_per_layer: Points
    decode_ms_per_layer: Points
    throughput_tokens_per_s: dict[str, Figure] = {}
    prompt_max_requests: dict[str, Whole] = {}


class Node(Struct, frozen=True, kw_only=True):
    """A machine."""

    id: Annotated[int, Meta(ge=0, le=10**6)]
    kind: Name
    region: int | str = 0


class Link(Struct, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """A link between two machines, or between one and the coordinator (source and sink)."""

    source: End
    target: End
    bandwidth_Bps: Figure
    latency_s: Annotated[float, Meta(ge=0, le=1e4)]
    both_ways: bool = False


class Layout(Struct, frozen=True, kw_only=True):
    """Layers [first, end) of each machine."""

    layout: dict[str, tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=1)]]]
    max_flow: float | None = None


class Cluster(Struct, frozen=True, kw_only=True):
    """The whole document."""

    case: Name
    model: Model
    kinds: Annotated[dict[Name, Kind], Meta(min_length=1)]
    nodes: Annotated[list[Node], Meta(min_length=1, max_length=MAX_SERVERS)]
    links: list[Link]
    reference_layouts: dict[str, Layout] = {}
    compute_upper_bound_tokens_per_s: float | None = None
    origin: str = ""


def read_cluster(path: Path, kinds: Path | None = None) -> Cluster:
    """A cluster of a JSON document, or of an ``.ini`` file and a document that tells of its kinds.

    Raises
    ------
    ScenarioError
        Naming the file, the field and what is wrong.
    """
    if path.suffix != ".ini":
        return _checked(_cluster(path), path)
    if kinds is None:
        message = "tells no times of its machines: name a cluster's JSON document with --kinds"
        raise ScenarioError.single("", message, source=str(path))
    return _checked(_of_ini(path, _cluster(kinds)), path)


def _cluster(path: Path) -> Cluster:
    def schema() -> dict[str, Any]:
        return schema_of(Cluster, "Helix cluster")

    return validate(parse_file(path), Cluster, schema, source=str(path))


def _checked(cluster: Cluster, path: Path) -> Cluster:
    """Names that resolve, links that are there."""
    ids = {node.id for node in cluster.nodes}
    wrong = next((n.kind for n in cluster.nodes if n.kind not in cluster.kinds), None)
    if wrong is not None:
        known = ", ".join(cluster.kinds)
        raise ScenarioError.single(
            "nodes", f"no kind {wrong!r}: there are {known}", source=str(path)
        )
    if len(ids) != len(cluster.nodes):
        raise ScenarioError.single("nodes", "an id is given twice", source=str(path))
    for i, link in enumerate(cluster.links):
        for end in (link.source, link.target):
            if end not in ids and end not in (SOURCE, SINK):
                message = f"there is no machine {end!r}"
                raise ScenarioError.single(f"links[{i}]", message, source=str(path))
    for name, kind in cluster.kinds.items():
        missing = [k for k in range(1, kind.max_layers + 1) if str(k) not in kind.kv_entries]
        if missing:
            message = f"kv_entries has no figure for {missing[0]} layers"
            raise ScenarioError.single(f"kinds.{name}", message, source=str(path))
    return cluster


_UNITS = {
    "kbps": 1e3,
    "mbps": 1e6,
    "gbps": 1e9,
    "sec": 1.0,
    "millisec": 1e-3,
    "microsec": 1e-6,
}


def _quantity(text: str, where: str, path: Path) -> float:
    """``1000 * mbps`` or ``1 * MilliSec`` in Helix' bytes per second and seconds."""
    found = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(?:\*\s*(\w+))?\s*", text)
    try:
        assert found is not None
        return float(found[1]) * (_UNITS[found[2].casefold()] if found[2] else 1.0)
    except (AssertionError, ValueError, KeyError):
        message = f"{text!r:.60} is no quantity such as 1000 * mbps or 1 * MilliSec"
        raise ScenarioError.single(where, message, source=str(path)) from None


def _of_ini(path: Path, known: Cluster) -> Cluster:
    """Helix' own file: sections ComputeNode-ID (type) and Link-FROM-TO (bandwidth, latency)."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_bytes(path).decode("utf-8-sig"), source=str(path))
    except (configparser.Error, UnicodeDecodeError) as error:
        text = f"is no .ini file of Helix: {str(error)[:200]}"
        raise ScenarioError.single("", text, source=str(path)) from error
    nodes, links = [], []
    for section in parser.sections():
        given = parser[section]
        if found := re.fullmatch(r"ComputeNode-(\d+)", section):
            region = given.get("region", "0")
            nodes.append(Node(id=int(found[1]), kind=given.get("type", ""), region=region))
        elif found := re.fullmatch(r"Link-(source|sink|\d+)-(source|sink|\d+)", section):
            ends = [int(e) if e.isdigit() else e for e in found.groups()]
            links.append(
                Link(
                    source=ends[0],
                    target=ends[1],
                    bandwidth_Bps=_quantity(given.get("bandwidth", ""), section, path),
                    latency_s=_quantity(given.get("latency", ""), section, path),
                    both_ways=SOURCE not in ends and SINK not in ends,
                )
            )
    if not nodes:
        raise ScenarioError.single("", "has no section [ComputeNode-0]", source=str(path))
    return Cluster(case=path.stem, model=known.model, kinds=known.kinds, nodes=nodes, links=links)


def scenario_of_cluster(cluster: Cluster, *, rate_per_s: float | None = None) -> dict[str, Any]:
    """The scenario document of a cluster; servers are called ``node-ID``.

    Weights, curves and links are the cluster's. Attention cache is what ``FILL_BY_OWN`` of the
    entries allow: a token is charged so much that memory less weights holds them, whatever is
    hosted.

    Parameters
    ----------
    rate_per_s : requests; by default ``LOAD`` of the bound that the cluster tells.
    """
    model, nodes = cluster.model, cluster.nodes
    mean = float(np.mean(PROMPT_TOKENS) + np.mean(OUTPUT_TOKENS))
    bound = cluster.compute_upper_bound_tokens_per_s or 100.0 * len(nodes)
    entry_bytes = _entry_bytes(cluster)
    rtt_ms, mbit = _links(cluster)
    per_token = model.activation_bytes_per_token * (1.0 / GATHER_BPS + 1.0 / COPY_BPS)
    return {
        "format": SCENARIO_FORMAT,
        "name": cluster.case,
        "description": f"Cluster of Helix (ASPLOS'25). {cluster.origin}".strip(),
        "sharing": "batched",
        "model": {
            "name": model.name,
            "quantisation": "bf16",
            "num_blocks": model.layers,
            "hidden_size": model.activation_bytes_per_token // 2,
            "block_mb": model.layer_bytes / 1e6,
            "cache_bytes_per_token": round(entry_bytes),
        },
        "devices": {
            name: _device(kind, model, round(entry_bytes)) for name, kind in cluster.kinds.items()
        },
        "network": {
            "delay": "measured",
            "relay": "pipeline",
            "prefill_overhead_us_per_token": round(per_token * 1e6, 4),
            "step_overhead_ms": round(per_token * 1e3, 6),
            "rtt_ms": rtt_ms,
            "server_mbit_per_s": mbit,
        },
        "servers": [
            {
                "id": f"node-{node.id}",
                "device": node.kind,
                "region": f"region-{node.region}",
                "max_blocks": cluster.kinds[node.kind].max_layers,
            }
            for node in nodes
        ],
        "clients": [{"id": "coordinator"}],
        "workload": {
            "requests": 1_000,
            "streams": [
                {
                    "client": "coordinator",
                    "rate_per_s": round(rate_per_s or LOAD * bound / mean, 4),
                    "prompt_tokens": list(PROMPT_TOKENS),
                    "output_tokens": list(OUTPUT_TOKENS),
                }
            ],
        },
        "planning": {"session_tokens": round(mean * FILL_BY_OWN / FILL)},
    }


def _entry_bytes(cluster: Cluster) -> float:
    """Bytes charged for a token on a layer: one more layer takes away ``layer_bytes`` of cache."""
    slopes = []
    for node in cluster.nodes:
        held = cluster.kinds[node.kind].kv_entries
        most = cluster.kinds[node.kind].max_layers
        if most > 1:
            slopes.append((held["1"] - held[str(most)]) / (most - 1))
    each = cluster.model.layer_bytes / float(np.mean(slopes)) if slopes else 4_096.0
    return max(1.0, each / FILL_BY_OWN)


def _device(kind: Kind, model: Model, entry_bytes: int) -> dict[str, Any]:
    """What a kind of machine does, as a device of a scenario."""
    most = kind.max_layers
    layers = np.arange(max(1, most // 2), most + 1)
    entries = np.array([kind.kv_entries[str(k)] for k in layers])
    # The memory at which the largest relative error of the cache is least, halves of it up.
    memory = model.layer_bytes * layers + FILL_BY_OWN * entries * entry_bytes
    weight = 1.0 / (FILL_BY_OWN * entries * entry_bytes)
    low, high = float(memory.min()), float(memory.max())
    for _ in range(60):
        middle = 0.5 * (low + high)
        error = (middle - memory) * weight
        low, high = (middle, high) if error.max() < -error.min() else (low, middle)
    tokens, ms = np.array(kind.prompt_ms_per_layer).T
    short = (tokens > 0) & (tokens <= max(LONG_PROMPT, tokens[1]))
    slope, base = np.polyfit(tokens[short], ms[short], 1) if short.sum() > 1 else (0.0, ms[-1])
    if base < 0.0:
        slope, base = float((ms[short] @ tokens[short]) / (tokens[short] @ tokens[short])), 0.0
    rated = [kind.throughput_tokens_per_s.get(str(k)) for k in range(1, most + 1)]
    return {
        "memory_gb": round(high / 1e9, 6),
        "decode_ms_by_batch": _curve(kind.decode_ms_per_layer),
        "prefill_base_ms": round(float(base), 6),
        "prefill_us_per_token": round(float(slope) * 1e3, 6),
        "task_tokens": 100_000,
        "batch_prompts": max(kind.prompt_max_requests.values(), default=1),
        **({"rated_tokens_per_s": rated} if None not in rated else {}),
    }


def _curve(points: Points) -> list[list[float]]:
    """The curve from one sequence on, nowhere falling, thinned where it has many points."""
    batch, ms = np.array([p for p in points if p[0] > 0 and p[1] > 0]).T
    if batch[0] > 1:
        batch, ms = np.concatenate(([1.0], batch)), np.concatenate((ms[:1], ms))
    whole = batch == np.round(batch)
    batch, ms = batch[whole], np.maximum.accumulate(ms[whole])
    kept = np.unique(
        np.linspace(0, len(batch) - 1, min(len(batch), MOST_POINTS)).round().astype(int)
    )
    return [[int(batch[i]), round(float(ms[i]), 6)] for i in kept]


def _links(cluster: Cluster) -> tuple[list[list[float]], list[list[float]]]:
    """Round trips in ms of the coordinator and all machines, and Mbit/s between machines."""
    row = {node.id: i for i, node in enumerate(cluster.nodes)}
    n = len(row)
    latency, rate = np.full((n + 1, n + 1), np.nan), np.full((n, n), np.nan)
    for link in cluster.links:
        ends = [(link.source, link.target)]
        if link.both_ways:
            ends.append((link.target, link.source))
        for source, target in ends:
            a = 0 if source in (SOURCE, SINK) else 1 + row[int(source)]
            b = 0 if target in (SOURCE, SINK) else 1 + row[int(target)]
            latency[a, b] = link.latency_s
            if a and b:
                rate[a - 1, b - 1] = link.bandwidth_Bps
    latency = np.where(np.isnan(latency), latency.T, latency)
    rate = np.where(np.isnan(rate), rate.T, rate)
    np.fill_diagonal(latency, 0.0)
    # Pairs without a link can only be reached by a very slow one.
    slowest = float(np.nanmax(latency, initial=0.001))
    latency = np.where(np.isnan(latency), 100.0 * slowest, latency)
    rate = np.where(np.isnan(rate), 1e3, rate)
    np.fill_diagonal(rate, float(rate.max(initial=1e3)))
    rtt_ms = np.round((latency + latency.T) * 1e3, 6)
    return rtt_ms.tolist(), np.round(rate * 8e-6, 6).tolist()


def layout_of(placement: Placement, ids: Sequence[str]) -> dict[str, list[int]]:
    """A placement as Helix' layout: machine -> [first layer, end); idle ones are left out.

    Raises
    ------
    ScenarioError
        If a server is not called ``node-ID``, as imported ones are.
    """
    found: dict[str, list[int]] = {}
    for j, name in enumerate(ids):
        number = name.removeprefix("node-")
        if not number.isdigit():
            message = (
                f"server {name!r} is no machine of a Helix cluster: those are called node-0 ..."
            )
            raise ScenarioError.single("--export", message)
        if span := placement.span(j):
            found[number] = [span.start, span.end]
    return found


def spans_of(layout: Mapping[str, tuple[int, int]], ids: Sequence[str]) -> list[tuple[int, int]]:
    """(start, end) of every server out of a layout, (0, 0) for those that it leaves out."""
    return [layout.get(name.removeprefix("node-"), (0, 0)) for name in ids]


def write_layout(path: Path, layout: dict[str, list[int]]) -> None:
    """Write a layout as one JSON document."""
    write_text(path, json.dumps(layout) + "\n")
