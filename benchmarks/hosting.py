"""What servers host: what is promised of it, row by row, with the bound and what came out.

    python benchmarks/hosting.py models   # every layer of recorded models, totals as published
    python benchmarks/hosting.py equal    # shipped scenarios written with layers plan byte-equal
    python benchmarks/hosting.py experts  # steps of mixtures against measured blocks
    python benchmarks/hosting.py bound    # bound of CG-BP where blocks differ, 4,000 random swarms
    python benchmarks/hosting.py scale    # DeepSeek-V3 on 200 mixed servers for 8 clients
    python benchmarks/hosting.py adapters # twenty adapters by Zipf's law on four chains
    python benchmarks/hosting.py dominance [--swarms 500]  # never worse than a plain precision
    python benchmarks/hosting.py frontier # time against accuracy at 14 and 200 servers
    python benchmarks/hosting.py budgets [--requests 100000]  # no route above its budget
    python benchmarks/hosting.py CASES.json [--json]       # precisions: objective and frontier
    python benchmarks/hosting.py SWARMS.json --models MODELS.json [--only NAME]

Each part prints one line a figure and ends with ``kept`` or ``broken``; the exit status tells too.
Recorded models are read from ``--data``, where they lie in ``golden/models.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hosting_adapters import adapters
from hosting_cases import solve_file
from hosting_random import budgets, dominance, frontier

from swarmplan import api
from swarmplan.chains.soundness import misplaced, overfull
from swarmplan.core.errors import HeuristicFailedError, SwarmplanWarning
from swarmplan.core.plan import Placement
from swarmplan.core.problem import (
    Client,
    ModelSpec,
    Network,
    Planning,
    Problem,
    Server,
    Timing,
)
from swarmplan.core.workload import Lengths, RequestClass, Workload
from swarmplan.methods.draft import Settings
from swarmplan.methods.table import AnyMethod
from swarmplan.perfmodel.catalogue import model_spec
from swarmplan.perfmodel.configs import read
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.devices import devices_named, timings_for
from swarmplan.perfmodel.kernels import estimated_timing
from swarmplan.perfmodel.roofline import GPUS
from swarmplan.perfmodel.timing import decode_s
from swarmplan.placement.rules.cg_bp import block_bound, place_blocks
from swarmplan.placement.search.solve import placed_by_search
from swarmplan.placement.sessions import demand_of
from swarmplan.placement.task import Task
from swarmplan.routing.offline import best_routes
from swarmplan.scenarios.files import parse_file
from swarmplan.scenarios.planfile import plan_document
from swarmplan.scenarios.scenario import scenario_of
from swarmplan.scenarios.shipped import shipped_names, shipped_scenario
from swarmplan.solve.deadline import NEVER

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
#: Blocks of mixtures as in PETALS, 16 bit, 512 tokens in the cache: ms of a step (own_h100.csv).
MEASURED = (
    ("Mixtral-8x7B", "H100-SXM", 1.32),
    ("Mixtral-8x7B", "H200", 1.52),
    ("Qwen3-235B-A22B", "H100-SXM", 2.68),
    ("Qwen3-235B-A22B", "H200", 2.71),
)
SWARMS = 4_000
#: Swarms that are solved several times over, and requests that are simulated.
MOST_SOLVED, REQUESTS = 500, 100_000
#: Of the search for plans that have to be equal; nothing there is decided by the clock.
SEARCH_STEPS = 30
UNLIMITED = Settings(time_limit_s=None, seed=0)


def models(given: argparse.Namespace) -> bool:
    """Weights, active weights, cache and states of every layer; totals."""
    recorded = json.loads((given.data / "golden" / "models.json").read_text())["models"]
    columns = {
        "parameters": "parameters",
        "active_parameters": "active_parameters",
        "kv_bytes_per_token": "cache_bytes",
        "kv_bytes_per_token_expanded": "expanded_bytes",
        "kv_window_tokens": "window_tokens",
        "state_bytes": "state_bytes",
    }
    wrong = layers = exact = 0
    for model in recorded:
        found, runs = read(model["config"]), model["layers_run_length"]
        layers += found.num_blocks
        for theirs, ours in columns.items():
            each = [value for value, count in runs[theirs] for _ in range(count)]
            wrong += sum(getattr(b, ours) != v for b, v in zip(found.blocks, each, strict=True))
        wrong += found.total_parameters != model["total_parameters"]
        if model["published_total_exact"]:
            exact += 1
            off = model["published_total_exact"] - found.total_parameters
            if off:
                print(f"{model['model']}: {off:,} below the published total")
    print(f"{len(recorded)} models, {layers} layers, {wrong} figures differ; {exact} exact totals")
    return not wrong


def equal(given: argparse.Namespace) -> bool:
    """Shipped scenarios as they are and written with layers."""
    same = total = 0
    for name in shipped_names():
        shipped = shipped_scenario(name)
        model = shipped.problem.model
        layers = {
            "count": model.num_blocks,
            "block_mb": model.whole_bytes / model.num_blocks / 1e6,
            "cache_bytes_per_token": int(model.mean_cache_bytes_per_token),
        }
        section = {
            "name": model.name,
            "quantisation": model.quantisation,
            "hidden_size": model.hidden_size,
            "layers": [layers],
        }
        written = scenario_of(parse_file(shipped.path) | {"model": section}, shipped.path)
        # exact proves tiny alone within its limit; elsewhere the clock would decide what it finds,
        # as of the search, which is bounded by steps here.
        methods: dict[str, AnyMethod] = {m: m for m in ("cg-bp", "petals", "chains")}
        methods |= {"search": _few_steps, **({"exact": "exact"} if name == "tiny" else {})}
        for title, method in methods.items():
            began = time.process_time()
            was, now = (
                plan_document(api.plan(s.problem, method, settings=UNLIMITED), shipped)
                for s in (shipped, written)
            )
            total += 1
            same += was == now
            words = "byte-equal" if was == now else "plans differ"
            print(f"{name}, {title}: {words}, {time.process_time() - began:.1f} CPU s", flush=True)
    print(f"{same} of {total} plans byte-equal")
    return same == total


def _few_steps(task: Task) -> Placement:
    """A placement by a search that ends after some steps, whatever the clock says."""
    return placed_by_search(replace(task, deadline=NEVER, on_progress=None), max_steps=SEARCH_STEPS)


def experts(given: argparse.Namespace) -> bool:
    """A step of 16-bit mixtures, estimated from the data sheet: only the experts visited."""
    worst = 0.0
    for name, gpu, measured_ms in MEASURED:
        told_ms = decode_s(estimated_timing(model_spec(name, "bf16"), GPUS[gpu]), 512) * 1e3
        error = told_ms / measured_ms - 1
        worst = max(worst, abs(error))
        print(f"{name} on {gpu}: {told_ms:.2f} ms, measured {measured_ms} ({error:+.0%})")
    print(f"worst {worst:.0%}, allowed 30 %")
    return worst <= 0.30


def bound(given: argparse.Namespace) -> bool:
    """The bound by blocks, and Theorem 2 at its word, for random swarms whose blocks differ."""
    rng = np.random.default_rng(given.seed)
    broken = theorem = swarms = drawn = 0
    ratios = []
    while swarms < given.swarms:
        drawn += 1
        cost = CostModel.of(_random_swarm(rng))
        sessions = int(rng.integers(1, 9))
        try:
            placement = place_blocks(cost, sessions)
        except HeuristicFailedError:
            continue
        swarms += 1
        routes, unrouted = best_routes(cost, placement, demand_of(cost.problem, sessions))
        worst_s = max(cost.step_s(r.route, cost.planned(r.client)) for r in routes)
        limit_s = block_bound(cost, placement, sessions).seconds
        broken += bool(unrouted) or worst_s > limit_s * (1 + 1e-9)
        theorem += worst_s > _theorem_2_s(cost, placement, sessions) * (1 + 1e-9)
        ratios.append(limit_s / worst_s)
    print(f"{swarms} swarms of {drawn} drawn; bound by blocks: {broken} violations,")
    print(f"{np.median(ratios):.2f} x the slowest route (median); Theorem 2: {theorem} violations")
    return not broken


def _random_swarm(rng: np.random.Generator) -> Problem:
    """Three to nine servers, four to sixteen blocks of random kinds, two clients."""
    length, n = int(rng.integers(4, 17)), int(rng.integers(3, 10))
    kind = rng.integers(0, 3, length)
    weights = rng.integers(100, 2_000, 3)[kind]
    cache = rng.integers(1, 40, 3)[kind]
    servers = []
    for j in range(n):
        times = rng.uniform(0.001, 0.02, 3)[kind]
        servers.append(
            Server(
                id=f"s{j}",
                memory_bytes=int(weights.sum() * rng.uniform(0.2, 1.2)),
                block_bytes=tuple(weights.tolist()),
                timing=tuple(Timing(decode_base_s=t, prefill_base_s=t) for t in times.tolist()),
            )
        )
    return Problem(
        model=ModelSpec(
            name="random",
            num_blocks=length,
            hidden_size=64,
            block_bytes=tuple(weights.tolist()),
            cache_bytes_per_token=tuple(cache.tolist()),
            activation_bytes_per_token=128,
        ),
        servers=tuple(servers),
        clients=(Client(id="a"), Client(id="b")),
        network=Network(
            client_rtt_s=rng.uniform(0.001, 0.1, (2, n)), server_rtt_s=np.zeros((n, n))
        ),
        workload=_alike(2),
        planning=Planning(prompt_tokens=10, output_tokens=10, session_tokens=20),
    )


def _alike(clients: int) -> Workload:
    """As many requests from each client."""
    tokens = Lengths(values=(10,))
    return Workload(
        classes=tuple(
            RequestClass(client=c, rate_per_s=0.5, prompt_tokens=tokens, output_tokens=tokens)
            for c in range(clients)
        )
    )


def _theorem_2_s(cost: CostModel, placement: Placement, sessions: int) -> float:
    """The published bound with the last server's mean block in place of its block."""
    count = block_bound(cost, placement, sessions).count
    first = list(placement.order[:count])
    run, start, end = cost.planned(0).step_run_s, placement.start, placement.end
    whole = sum(float(cost.step_hop_s[:, j].max() + run(j, start[j], end[j])) for j in first)
    last = first[-1]
    each = float(run(last, start[last], end[last])) / float(end[last] - start[last])
    return whole - each * float((end[first] - start[first]).sum() - cost.num_blocks)


def scale(given: argparse.Namespace) -> bool:
    """Memory and gap of a plan for blocks that differ, at scale."""
    cost = CostModel.of(_mixed(given.seed))
    began = time.process_time()
    asked = Settings(time_limit_s=given.time_limit)
    plan = api.plan(cost.problem, given.method, seed=given.seed, settings=asked)
    spent = time.process_time() - began
    over = [*misplaced(cost, plan.placement), *overfull(cost, plan.placement, plan.routes)]
    objective = plan.certificate.objective
    gap = np.nan if objective.gap is None else objective.gap
    print(f"{given.method}: value {objective.value}, bound {objective.bound} ({gap:.2%})")
    print(f"{len(over)} servers over-committed, {spent:.0f} CPU s")
    return not over and gap <= 0.01 and spent < 120


def _mixed(seed: int) -> Problem:
    """DeepSeek-V3 in nf4 on 200 servers of five kinds in three regions, 8 clients."""
    rng = np.random.default_rng(seed)
    model = model_spec("DeepSeek-V3", "nf4")
    kinds = (("A100-80GB", 72), ("A6000", 43), ("L40S", 43), ("RTX4090", 22), ("RTX3090", 22))
    rated = {gpu: timings_for(devices_named(gpu), model).timing for gpu, _ in kinds}
    servers = tuple(
        Server(
            id=f"{gpu}-{j}",
            memory_bytes=memory * 10**9,
            block_bytes=model.block_bytes,
            timing=rated[gpu],
        )
        for j, (gpu, memory) in enumerate(kinds[int(k)] for k in rng.integers(0, 5, 200))
    )
    points = rng.uniform(0, 0.06, (208, 2))
    rtt = 0.004 + np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    return Problem(
        model=model,
        servers=servers,
        clients=tuple(Client(id=f"c{c}") for c in range(8)),
        network=Network(client_rtt_s=rtt[:8, 8:], server_rtt_s=rtt[8:, 8:], step_overhead_s=0.004),
        workload=replace(_alike(8)),
        planning=Planning(
            prompt_tokens=1_024, output_tokens=512, session_tokens=2_048, sessions=32
        ),
    )


PARTS: dict[str, Callable[[argparse.Namespace], bool]] = {
    "models": models,
    "equal": equal,
    "experts": experts,
    "bound": bound,
    "scale": scale,
    "adapters": lambda given: adapters(given.seed),
    "dominance": lambda given: dominance(min(given.swarms, MOST_SOLVED), given.seed),
    "frontier": lambda given: frontier(given.seed),
    "budgets": lambda given: budgets(given.requests, given.seed),
}


def main() -> int:
    """Run a part; the exit status tells whether it kept what is promised."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", metavar="PART|FILE", help=f"{', '.join(PARTS)}, or a file to solve")
    parser.add_argument("--json", action="store_true", help="of a file, figures by name")
    parser.add_argument("--models", type=Path, help="models.json, for a file of swarms")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--swarms", type=int, default=SWARMS)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--method", default="search")
    parser.add_argument("--time-limit", type=float, default=60.0)
    given: Any = parser.parse_args()
    warnings.simplefilter("ignore", SwarmplanWarning)
    if given.what not in PARTS:
        file = Path(given.what)
        return 0 if solve_file(file, given.models, given.only, as_json=given.json) else 1
    kept = PARTS[given.what](given)
    print("kept" if kept else "broken")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
