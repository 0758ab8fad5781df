"""Random but realistic scenario documents, deterministic by seed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.version import TOOL
from . import samples
from .files import quoted, sealed, write_text
from .schema import SCENARIO_FORMAT
from .topologies import load_topology

Kind = Literal["geographic", "reference", "topology", "data-centres", "volunteers"]
REQUESTS = 400
#: Requests per second and server, 0.03 elsewhere: of these kinds about 0.6 of what their shipped
#: sample is found to hold.
LOAD = {"volunteers": 0.009, "data-centres": 0.012}
#: Software overheads of a hop, as PETALS' servers were measured to have them (docs/perfmodel.md).
OVERHEADS = {
    "step_overhead_ms": 18.0,
    "prefill_overhead_ms": 40.0,
    "prefill_overhead_us_per_token": 60.0,
}
#: Device types of the mixed swarm: memory GB, decode ms per block, share.
MIXED = (
    (9.1, 16.25, 0.3),
    (15.0, 12.0, 0.2),
    (22.5, 6.5, 0.25),
    (44.0, 5.0, 0.15),
    (79.1, 3.22, 0.1),
)
#: Around these cities servers and clients are scattered.
CITIES = (
    (40.7, -74.0),
    (37.8, -122.4),
    (51.5, -0.1),
    (50.1, 8.7),
    (35.7, 139.7),
    (1.35, 103.8),
    (-23.5, -46.6),
    (-33.9, 151.2),
    (19.1, 72.9),
    (43.7, -79.4),
    (41.9, -87.6),
    (59.3, 18.1),
)


def generate(
    kind: Kind, *, servers: int, clients: int, seed: int, topology: str = "Abvt"
) -> dict[str, Any]:
    """A scenario document.

    Parameters
    ----------
    kind : ``geographic`` scatters five kinds of servers around twelve cities; ``reference`` is
        the clustered setting of arXiv 2512.21884 (one fifth fast but far servers); ``topology``
        draws nodes of a graph, one fifth A100, the rest MIG slices; ``data-centres`` deals rented
        servers to thirty cities; ``volunteers`` are home machines that come and go.
    """
    rng = np.random.default_rng(seed)
    name = f"{kind}-{servers}-{seed}"
    base: dict[str, Any] = {
        "format": SCENARIO_FORMAT,
        "name": name,
        "model": {"name": "BLOOM-176B"},
    }
    rate = round(LOAD.get(kind, 0.03) * servers / clients, 6)
    if kind == "data-centres":
        base["description"] = f"{servers} rented servers in data centres of thirty cities"
        base.update(samples.data_centres(rng, servers, clients))
    elif kind == "volunteers":
        base["description"] = f"{servers} machines at home that come and go"
        base.update(samples.volunteers(rng, servers, clients, REQUESTS / (rate * clients)))
    else:
        make = {"geographic": _geographic, "reference": _reference, "topology": _topology}[kind]
        base.update(make(rng, servers, clients, topology))
    names = [c["id"] for c in base["clients"]]
    base["workload"] = {
        "requests": REQUESTS,
        "streams": [
            {
                "client": c,
                "rate_per_s": rate,
                "prompt_tokens": 20,
                "output_tokens": 128,
            }
            for c in names
        ],
    }
    return base


def _paper_devices() -> dict[str, Any]:
    return {
        "a100": {"profile": "BPRR-A100", "memory_gb": 79.13},
        "mig": {"profile": "BPRR-MIG-1g", "memory_gb": 9.1},
    }


def _geographic(rng: np.random.Generator, n: int, clients: int, _: str) -> dict[str, Any]:
    kinds = rng.choice(len(MIXED), size=n, p=[share for _, _, share in MIXED])
    devices = {
        f"gpu-{i}": {
            "memory_gb": memory,
            "decode_ms": decode,
            "prefill_base_ms": round(2 * decode, 3),
            "prefill_us_per_token": round(25 * decode, 3),
        }
        for i, (memory, decode, _) in enumerate(MIXED)
    }
    return {
        "devices": devices,
        "network": {"delay": "internet", **OVERHEADS},
        "servers": [
            {
                "id": f"server-{j}",
                "device": f"gpu-{kinds[j]}",
                "last_mile_ms": round(float(rng.uniform(0.5, 6.0)), 3),
                **_near_city(rng, 0.6),
            }
            for j in range(n)
        ],
        "clients": [
            {
                "id": f"client-{c}",
                "last_mile_ms": round(float(rng.uniform(0.5, 6.0)), 3),
                **_near_city(rng, 2.0),
            }
            for c in range(clients)
        ],
    }


def _near_city(rng: np.random.Generator, spread_degrees: float) -> dict[str, float]:
    lat, lon = CITIES[int(rng.integers(len(CITIES)))]
    return {
        "lat": round(float(lat + rng.normal(0, spread_degrees)), 4),
        "lon": round(float(lon + rng.normal(0, spread_degrees)), 4),
    }


def _reference(rng: np.random.Generator, n: int, clients: int, _: str) -> dict[str, Any]:
    fast = max(1, round(n * 2 / 9))
    small = n - fast
    to_small = rng.uniform(0, 5, size=(clients, small))
    to_fast = rng.uniform(100, 200, size=(clients, fast))
    between = rng.uniform(0, 5, size=(n, n))
    between[:small, small:] = rng.uniform(100, 200, size=(small, fast))
    between = np.triu(between, 1)
    size = clients + n
    rtt = np.zeros((size, size))
    rtt[:clients, clients:] = np.hstack([to_small, to_fast])
    rtt[clients:, clients:] = between
    rtt = np.round(rtt + rtt.T, 3)
    return {
        "devices": _paper_devices(),
        "network": {"delay": "measured", "rtt_ms": rtt.tolist(), **OVERHEADS},
        "servers": [
            {"id": f"server-{j}", "device": "mig" if j < small else "a100"} for j in range(n)
        ],
        "clients": [{"id": f"client-{c}"} for c in range(clients)],
    }


def _topology(rng: np.random.Generator, n: int, clients: int, topology: str) -> dict[str, Any]:
    labels = load_topology(topology, Path()).labels
    nodes = rng.integers(len(labels), size=clients + n)
    fast = max(1, round(n / 5))
    return {
        "devices": _paper_devices(),
        "network": {"topology": topology, "delay": "internet", **OVERHEADS},
        "servers": [
            {
                "id": f"server-{j}",
                "device": "a100" if j < fast else "mig",
                "node": labels[nodes[clients + j]],
            }
            for j in range(n)
        ],
        "clients": [{"id": f"client-{c}", "node": labels[nodes[c]]} for c in range(clients)],
    }


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a document as TOML, or as JSON when the name ends in ``.json``; all or nothing."""
    if path.suffix == ".json":
        write_text(path, json.dumps(document, indent=2) + "\n")
    else:
        write_text(path, sealed(to_toml(document), TOOL))


def to_toml(document: dict[str, Any]) -> str:
    """A scenario document as TOML: plain values, then tables, then arrays of tables."""
    return "\n".join(_lines(document, "")).lstrip("\n") + "\n"


def _lines(table: dict[str, Any], prefix: str) -> list[str]:
    lines: list[str] = []
    later: list[str] = []
    for key, value in table.items():
        name = f"{prefix}.{_key(key)}" if prefix else _key(key)
        if isinstance(value, dict):
            later += ["", f"[{name}]", *_lines(value, name)]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for item in value:
                later += ["", f"[[{name}]]", *_lines(item, name)]
        else:
            # JSON's numbers, booleans and arrays of them are TOML's.
            lines.append(f"{_key(key)} = {_value(value)}")
    return lines + later


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return quoted(value)
    return "nan" if value is None else json.dumps(value)  # a gap of a matrix


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)
