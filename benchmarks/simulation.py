"""Many requests through the simulator, their time and memory: ``python benchmarks/simulation.py``.

Hundred servers that hold half of the model each, so that every chain has two hops; requests of 20
tokens in and 128 out at half of what all servers together compute. Every row is a process of its
own. Memory of a request: by how much the most memory of a run of all requests exceeds that of a
tenth of them, for each that it has more; as many run at once in both.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from swarmplan.core.names import Admission
from swarmplan.core.problem import Problem
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import summarise
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load

BLOCKS, SERVERS, SHARE = 32, 100, 0.5
RUNS: tuple[tuple[str, Admission], ...] = (
    ("ws-rr", "retry"),
    ("ws-rr", "queue"),
    ("ws-rr", "reserve"),
    ("overlap", "retry"),
    ("jffc", "queue"),
)


def halves(servers: int) -> Problem:
    """Servers with room for half of the blocks and many sessions, around one client."""
    document: dict[str, Any] = {
        "format": "swarmplan/scenario/1",
        "name": "halves",
        "model": {
            "name": "halves",
            "num_blocks": BLOCKS,
            "hidden_size": 4096,
            "block_mb": 200,
            "cache_bytes_per_token": 16_384,
        },
        "devices": {"gpu": {"memory_gb": 8, "decode_ms": 1.0, "prefill_base_ms": 2.0}},
        "network": {"delay": "internet", "step_overhead_ms": 5, "prefill_overhead_ms": 10},
        "servers": [
            {"id": f"s{j}", "device": "gpu", "lat": 50.0 + j % 10, "lon": 1.0 * (j // 10)}
            for j in range(servers)
        ],
        "clients": [{"id": "c", "lat": 52.0, "lon": 5.0}],
        "workload": {
            "streams": [
                {"client": "c", "rate_per_s": 1.0, "prompt_tokens": 20, "output_tokens": 128}
            ]
        },
    }
    problem = build(msgspec.convert(document, schema.Scenario), Path()).problem
    work_s = BLOCKS * 128 * 1.0e-3
    return at_load(problem, SHARE * servers / work_s)


def measured(router: str, admission: Admission, servers: int, count: int) -> dict[str, float]:
    """One run in this process: seconds of drawing, simulating and summing up, and peak memory."""
    problem = halves(servers)
    cost = CostModel.of(problem)
    half = BLOCKS // 2
    placement = cost.placed([(half * (j % 2), half * (j % 2 + 1)) for j in range(servers)])
    made = router_named(router)(cost, placement)
    simulate(problem, placement, made, draw_requests(problem, 1, num_requests=10))  # compiles
    began_s = time.process_time()
    requests = draw_requests(problem, 0, num_requests=count)
    result = simulate(problem, placement, made, requests, admission=admission)
    found = summarise(result)
    return {
        "seconds": time.process_time() - began_s,
        "completed": found.completed,
        "hops": found.mean_hops,
        "wait_s": found.wait_s.mean,
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def apart(*words: str) -> dict[str, float]:
    """The same in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", *words], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print one row per router and waiting rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--servers", type=int, default=SERVERS)
    parser.add_argument("--routers", nargs="+", default=sorted({router for router, _ in RUNS}))
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        router, admission, servers, count = asked.one
        print(json.dumps(measured(router, admission, int(servers), int(count))))
        return
    print("| router | waiting rule | requests | CPU s | completed | hops | mean waiting s | MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for router, admission in (run for run in RUNS if run[0] in asked.routers):
        less, more = (
            apart(router, admission, str(asked.servers), str(count))
            for count in (asked.requests // 10, asked.requests)
        )
        grown = (more["mebibytes"] - less["mebibytes"]) * 2**20 / (0.9 * asked.requests)
        print(
            f"| {router} | {admission} | {asked.requests:,} | {more['seconds']:.1f} "
            f"| {more['completed']:.0f} | {more['hops']:.2f} | {more['wait_s']:.3g} "
            f"| {more['mebibytes']:.0f}, {grown:.0f} bytes a request |",
            flush=True,
        )


if __name__ == "__main__":
    main()
