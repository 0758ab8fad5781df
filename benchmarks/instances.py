"""Instances of the offline problem (docs/exact.md), as scenario documents and problems.

An instance is a scenario document; its problem is what the scenario loader makes of it, so a
written file loads to an equal problem. Memory is given in GiB, and the cache of a session of 100
tokens is 100 x 4 x 14336 bytes, as in the published reference instance. Every client has the same
number of sessions.

``python benchmarks/instances.py FOLDER [NAME ...]`` writes scenario files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from swarmplan.core.content import FloatArray
from swarmplan.core.problem import Problem
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build

Kind = Literal["two", "H"]

LENGTH = 70
HIDDEN = 14_336
SESSION_TOKENS = 100
BLOCK_GIB = 2.46643712 * 4.25 / 8 * 1.01
OVERHEAD_MS = 25.0
#: (memory in GiB, ms per block and token, share of the servers)
TWO_TYPES = ((9.1, 16.2488, 0.8), (79.138, 3.2197, 0.2))
H_TYPES = (
    (9.1, 16.25, 0.3),
    (15.0, 12.0, 0.2),
    (22.5, 6.5, 0.25),
    (44.0, 5.0, 0.15),
    (79.1, 3.22, 0.1),
)


@dataclass(frozen=True)
class Instance:
    """A named scenario document; ``problem`` is built from it when asked for."""

    name: str
    document: dict[str, Any]

    @cached_property
    def problem(self) -> Problem:
        """What the scenario loader makes of the document."""
        return build(msgspec.convert(self.document, schema.Scenario), Path()).problem

    def write(self, folder: Path) -> Path:
        """Write ``folder/name.json``; ``swarmplan plan`` loads it to an equal problem."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(self.document))
        return path


def reference(seed: int, sessions: int, clients: int = 1) -> Instance:
    """The published instance: 7 small servers near the clients, 2 large ones far away.

    ``sessions`` is per client.
    """
    rng = np.random.default_rng(seed)
    near = rng.uniform(0.0, 5.0, (clients, 7))
    far = rng.uniform(100.0, 200.0, (clients, 2))
    rtt = np.hstack([near, far])
    mean = rtt.mean(axis=0)
    between = np.add.outer(mean, mean) / 2
    memory = np.array([9.5] * 7 + [79.138427734375] * 2)
    block_ms = np.array([15.0] * 7 + [15.0 / 7] * 2)
    return _instance(f"reference-{seed}-{clients}x{sessions}", sessions, memory, block_ms,
                     rtt, between)  # fmt: skip


def geographic(
    servers: int, clients: int, sessions: int, seed: int, kind: Kind = "two"
) -> Instance:
    """Servers around sites in a 9000 x 4000 km plane; ``sessions`` is per client."""
    rng = np.random.default_rng(seed)
    count = max(4, servers // 6)
    sites = rng.uniform([0.0, 0.0], [9000.0, 4000.0], (count, 2))
    at = sites[rng.integers(count, size=servers)] + rng.normal(0.0, 60.0, (servers, 2))
    home = sites[rng.integers(count, size=clients)] + rng.normal(0.0, 200.0, (clients, 2))
    access = rng.uniform(0.5, 6.0, servers)
    client_access = rng.uniform(0.5, 6.0, clients)
    if kind == "two":
        large = (rng.random(servers) < TWO_TYPES[1][2]).astype(int)
        memory = np.array([t[0] for t in TWO_TYPES])[large]
        block_ms = np.array([t[1] for t in TWO_TYPES])[large]
    else:
        drawn = rng.choice(len(H_TYPES), size=servers, p=[t[2] for t in H_TYPES])
        memory = np.array([t[0] for t in H_TYPES])[drawn]
        block_ms = np.array([t[1] for t in H_TYPES])[drawn] * rng.uniform(0.9, 1.1, servers)
    rtt = _travel_ms(home, at) + client_access[:, None] + access
    between = _travel_ms(at, at) + access[:, None] + access
    np.fill_diagonal(between, 0.0)
    name = f"geographic-{kind}-{servers}-{clients}x{sessions}-{seed}"
    return _instance(name, sessions, memory, block_ms, rtt, between)


def set_b() -> Iterator[Instance]:
    """20 instances of 9 to 15 servers, 1 to 4 clients, 3 to 20 sessions each."""
    yield from _small(100, 20)


def fresh_b(seed: int) -> Iterator[Instance]:
    """40 instances of the same kind as set B."""
    yield from _small(seed, 40)


def _small(seed: int, count: int) -> Iterator[Instance]:
    for s in range(count):
        yield geographic(
            9 + s % 7, 1 + (s // 2) % 4, (3, 5, 10, 20)[(s // 4) % 4], seed + s, "H" if s % 2 else
            "two",
        )  # fmt: skip


def set_c(servers: int, seed: int = 500) -> Iterator[Instance]:
    """The large instances of one size (40, 200 or 1,000 servers): both kinds, two seeds."""
    clients = {40: 8, 200: 16, 1000: 32}[servers]
    kinds: tuple[Kind, ...] = ("two", "H")
    for kind in kinds:
        for s in (seed, seed + 1):
            yield geographic(servers, clients, 10, s, kind)


def tight_set(seed: int | None = None) -> Iterator[Instance]:
    """Eight instances whose memory hardly holds the sessions; fresh ones with a seed."""
    yield geographic(15, 3, 20, 4 if seed is None else seed + 7, "H")
    sizes = ((9, 2, 60), (10, 3, 40), (12, 4, 30), (13, 2, 80), (15, 4, 40), (15, 6, 20),
             (20, 4, 40))  # fmt: skip
    for offset, (servers, clients, sessions) in enumerate(sizes):
        yield geographic(servers, clients, sessions, (700 if seed is None else seed) + offset, "H")


def relay_set(seed: int) -> Iterator[Instance]:
    """Server relay: four instances of 4 servers and eight of 14; 4 small servers may be too few."""
    for s in range(4):
        yield _relayed(geographic(4, 1 + s % 3, (3, 5, 10)[s % 3], seed + s, "H"))
    kinds: tuple[Kind, ...] = ("two", "H")
    for s in range(8):
        clients, sessions = 1 + s % 4, (3, 5, 10, 20)[s // 2]
        yield _relayed(geographic(14, clients, sessions, seed + s, kinds[s % 2]))


def demanding_set(seed: int) -> Iterator[Instance]:
    """9 to 14 servers with one of them pinned, pinned with a ban, every block twice, or on others
    when the largest server is lost."""
    sizes = ((9, 1, 3), (10, 2, 5), (12, 2, 10), (14, 3, 5))
    for offset, (servers, clients, sessions) in enumerate(sizes):
        plain = geographic(servers, clients, sessions, seed + offset, "H")
        largest = max(plain.problem.servers, key=lambda s: s.memory_bytes)
        start = 7 * offset
        pin = {"pinned": {largest.id: [start, start + 12]}}
        ban = {"forbidden": {f"s{servers - 1 if largest.id == 's0' else 0}": [[20, 40]]}}
        named = {"pin": pin, "ban": {**pin, **ban}, "twice": {"redundancy": 2},
                 "lost": {"survive": [largest.id]}}  # fmt: skip
        for what, asked in named.items():
            yield Instance(f"{plain.name}-{what}", {**plain.document, "resilience": asked})


def _relayed(instance: Instance) -> Instance:
    network = {**instance.document["network"], "relay": "server"}
    return Instance(f"{instance.name}-relay", {**instance.document, "network": network})


def _travel_ms(a: FloatArray, b: FloatArray) -> FloatArray:
    """Round trip between points in km: fibre at 200 km/ms, half as long again as the crow flies."""
    distance = np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1])
    travel: FloatArray = 2 * 1.5 * distance / 200
    return travel


def _instance(
    name: str,
    sessions: int,
    memory_gib: FloatArray,
    block_ms: FloatArray,
    client_rtt_ms: FloatArray,
    server_rtt_ms: FloatArray,
) -> Instance:
    """The scenario document; times between servers are rounded to microseconds."""
    clients, n = client_rtt_ms.shape
    rtt = np.zeros((clients + n, clients + n))
    rtt[:clients, clients:] = client_rtt_ms
    rtt[clients:, :clients] = client_rtt_ms.T
    rtt[clients:, clients:] = server_rtt_ms.round(3)
    np.fill_diagonal(rtt, 0.0)
    names = {pair: f"type-{i}" for i, pair in enumerate(
        sorted(set(zip(memory_gib.tolist(), block_ms.tolist(), strict=True))))}  # fmt: skip
    stream = {"rate_per_s": 1.0, "prompt_tokens": 20, "output_tokens": 80}
    document = {
        "format": schema.SCENARIO_FORMAT,
        "name": name,
        "model": {
            "name": "bloom-176b-nf4",
            "num_blocks": LENGTH,
            "hidden_size": HIDDEN,
            "block_mb": round(BLOCK_GIB * 2**30) / 1e6,
        },
        "devices": {
            label: {"memory_gib": gib, "decode_ms": ms} for (gib, ms), label in names.items()
        },
        "servers": [
            {"id": f"s{j}", "device": names[gib, ms]}
            for j, (gib, ms) in enumerate(
                zip(memory_gib.tolist(), block_ms.tolist(), strict=True)
            )
        ],
        "clients": [{"id": f"c{c}"} for c in range(clients)],
        "network": {
            "delay": "measured",
            "rtt_ms": rtt.tolist(),
            "step_overhead_ms": OVERHEAD_MS,
        },
        "workload": {"streams": [{"client": f"c{c}", **stream} for c in range(clients)]},
        "planning": {"sessions": sessions * clients, "session_tokens": SESSION_TOKENS},
    }  # fmt: skip
    return Instance(name, document)


def by_name() -> dict[str, Instance]:
    """The instances of the published tables up to 200 servers, by name."""
    found = [reference(seed, 3) for seed in range(5)]
    found += [reference(0, r) for r in (20, 41, 60)]
    found += [reference(0, 3, clients) for clients in (6, 12)]
    found += [*set_b(), *set_c(40), *set_c(200), *tight_set()]
    return {instance.name: instance for instance in found}


def main() -> None:
    """Write the named instances (all of ``by_name`` when none is named)."""
    folder, *names = sys.argv[1:]
    known = by_name()
    for name in names or known:
        print(known[name].write(Path(folder)))


if __name__ == "__main__":
    main()
