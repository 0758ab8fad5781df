"""Adapters by demand: what they take of memory and of time beside every adapter everywhere.

Twelve servers host Llama-3.1-70B in three stages, four times over: four chains that share nothing.
Clients at one place ask for twenty adapters by Zipf's law. ``hosting.py adapters`` runs it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand
from swarmplan.methods.adapters import with_loads
from swarmplan.methods.draft import Settings
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.adapters import adapter_bytes
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.offline import best_routes
from swarmplan.scenarios.scenario import scenario_of
from swarmplan.simulator.engine import simulate
from swarmplan.workload.draw import draw_requests

ADAPTERS, CHAINS, STAGES = 20, 4, ((0, 27), (27, 54), (54, 80))
#: Most that is allowed of the memory and the time of every adapter everywhere.
MEMORY, SLOWER = 0.35, 0.05
#: Requests a second: about half of what the chains sustain.
RATE_PER_S, REQUESTS = 0.12, 1_500


def zipf_swarm(rate_per_s: float = RATE_PER_S) -> Problem:
    """Four chains of three servers, twenty clients with an adapter each, demand 1, 1/2, 1/3 ..."""
    weight = 1.0 / np.arange(1, ADAPTERS + 1)
    names = [f"adapter-{i}" for i in range(ADAPTERS)]
    place = {"lat": 50.1, "lon": 8.7}
    raw = {
        "format": "swarmplan/scenario/1",
        "name": "zipf",
        "model": {"name": "Llama-3.1-70B", "quantisation": "nf4"},
        "adapters": {
            n: {"rank": 16, "modules": ["q", "k", "v", "o", "gate", "up", "down"]} for n in names
        },
        "servers": [
            {"id": f"chain{c}-{s}", "device": "A100-40GB", "memory_gb": 36.0, **place}
            for c in range(CHAINS)
            for s in range(len(STAGES))
        ],
        "clients": [{"id": f"of-{n}", "adapter": n, "lat": 52.5, "lon": 13.4} for n in names],
        "network": {"step_overhead_ms": 4.0, "prefill_overhead_ms": 8.0},
        "workload": {
            "requests": REQUESTS,
            "streams": [
                {"client": f"of-{n}", "rate_per_s": float(rate_per_s * w / weight.sum()),
                 "prompt_tokens": 512, "output_tokens": 128}
                for n, w in zip(names, weight, strict=True)
            ],
        },
    }  # fmt: skip
    return scenario_of(raw, Path("zipf.toml")).problem


def adapters(seed: int) -> bool:
    """Twenty adapters of Zipf's demand on four chains."""
    problem = zipf_swarm()
    task = Settings(seed=seed, time_limit_s=60.0).task(problem, "latency", sessions=20)
    spans = [STAGES[s] for _ in range(CHAINS) for s in range(len(STAGES))]
    placement = task.cost.placed(spans)
    chosen = with_loads(task, placement)
    if chosen is None:
        print("no loads were found")
        return False
    names = tuple(a.id for a in problem.adapters)
    everywhere = problem.with_adapters([names] * problem.num_servers)
    full = CostModel.of(everywhere).placed(spans)
    memory = adapter_bytes(task.cost, placement)
    whole = sum(int(each.sum()) for each in memory.values())
    taken = sum(int(memory[a][j]) for j, own in enumerate(chosen.adapters) for a in own)
    served = _served(chosen.settled(problem), chosen)
    slow, fast = (
        _response_s(p, own, seed)
        for p, own in ((chosen.settled(problem), chosen), (everywhere, full))
    )
    pairs = sum(map(len, chosen.adapters))
    print(f"{pairs} loads, {taken / 1e9:.2f} of {whole / 1e9:.2f} GB ({taken / whole:.0%})")
    print(f"{served} of {ADAPTERS} adapters have a chain")
    print(f"response {slow:.2f} s, all of them everywhere {fast:.2f} s ({slow / fast - 1:+.1%})")
    return served == ADAPTERS and taken <= MEMORY * whole and slow <= (1 + SLOWER) * fast


def _served(problem: Problem, placement: Placement) -> int:
    """Adapters of which a session has a chain."""
    cost, found = CostModel.of(problem), set()
    for client, asked in enumerate(problem.clients):
        demand = Demand(
            client=client,
            sessions=1,
            weight_tokens=1.0,
            cache_tokens=problem.planning.session_tokens,
        )
        routes, _ = best_routes(cost, placement, [demand])
        if all(cost.lacking[client].isdisjoint(r.route.servers) for r in routes):
            found.add(asked.adapter)
    return len(found)


def _response_s(problem: Problem, placement: Placement, seed: int) -> float:
    """Mean response over three draws, with the router that looks at lines."""
    cost, found = CostModel.of(problem), []
    for draw in range(seed, seed + 3):
        requests = draw_requests(problem, draw)
        run = simulate(problem, placement, router_named("overlap")(cost, placement), requests)
        found.append(float(np.nanmean(run.response_s)))
        if np.isnan(run.response_s).any():
            print(f"{int(np.isnan(run.response_s).sum())} requests were not served")
    return float(np.mean(found))
