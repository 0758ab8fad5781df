"""Instances of the offline problem that tests of several methods share."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from swarmplan.core.names import Relay
from swarmplan.core.plan import Hop, Route
from swarmplan.core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from swarmplan.core.workload import Lengths, RequestClass, Workload

BYTES = 1_000_000


def offline(
    *,
    blocks: int,
    tau_ms: list[float],
    memory: list[float],
    cache: float,
    hop_ms: list[list[float]],
    each: int = 1,
    block: list[float] | None = None,
    relay: Relay = "client",
    caps: list[int | None] | None = None,
) -> Problem:
    """An instance; memory, cache and blocks (1 each when left out) in MB, ``each``: per client."""
    n = len(tau_ms)
    lengths = Lengths(values=(20,))
    weights = block or [1.0] * n
    return Problem(
        model=ModelSpec(
            name="toy",
            num_blocks=blocks,
            hidden_size=8,
            block_bytes=BYTES,
            cache_bytes_per_token=round(cache * BYTES),
            activation_bytes_per_token=16,
        ),
        servers=tuple(
            Server(
                id=f"s{j}",
                memory_bytes=round(memory[j] * BYTES),
                block_bytes=round(weights[j] * BYTES),
                max_blocks=caps[j] if caps else None,
                timing=Timing(decode_base_s=tau_ms[j] / 1e3),
            )
            for j in range(n)
        ),
        clients=tuple(Client(id=f"c{c}") for c in range(len(hop_ms))),
        network=Network(
            client_rtt_s=np.array(hop_ms) / 1e3,
            server_rtt_s=np.full((n, n), 0.01) - np.eye(n) / 100,
            relay=relay,
        ),
        workload=Workload(
            classes=tuple(
                RequestClass(client=c, rate_per_s=1.0, prompt_tokens=lengths, output_tokens=lengths)
                for c in range(len(hop_ms))
            )
        ),
        planning=Planning(
            prompt_tokens=20, output_tokens=20, session_tokens=1, sessions=each * len(hop_ms)
        ),
    )


def every_route(problem: Problem, most: Iterable[int]) -> Iterator[Route]:
    """All orders of servers and all shares of the blocks, at most ``most[j]`` of them at each."""
    limits = [int(m) for m in most]
    for count in range(1, problem.num_servers + 1):
        for servers in itertools.permutations(range(problem.num_servers), count):
            for runs in itertools.product(*(range(1, limits[j] + 1) for j in servers)):
                if sum(runs) != problem.model.num_blocks:
                    continue
                ends = np.cumsum(runs)
                hops = (
                    Hop(server=j, start=int(e - k), end=int(e))
                    for j, k, e in zip(servers, runs, ends, strict=True)
                )
                yield Route(hops=tuple(hops))


def golden(folder: Path) -> Iterator[tuple[str, Problem, dict[str, Any]]]:
    """Name, problem and expected answer of every tiny golden case."""
    for path in sorted((folder / "golden" / "bprr").glob("tiny_*.json")):
        case = json.loads(path.read_text())
        given = case["inputs"]
        problem = offline(
            blocks=given["L"],
            tau_ms=given["tau"],
            memory=given["M"],
            cache=given["sc"],
            hop_ms=given["RTT"],
            each=given["n_request_client"],
        )
        yield case["name"], problem, case["expected"]["milp"]
