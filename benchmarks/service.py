"""What the goals of ``overlap`` bring, each in what it minimises, beside the mean response.

    python benchmarks/service.py --seeds 10

Settings and requests of benchmarks/token_aware.py. Deadlines are ``FACTOR`` times what the planned
request takes alone. Paired over seeds: each goal's figure against the same figure under the goal
"mean response", then what it costs in mean response. A flood: the client with the fewest requests
sends ``FLOOD`` times as many, all within ``FLOOD_S``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from token_aware import SETTINGS, Setting, requests_of, setting_of

from swarmplan.chains.graph import build_graph, request_costs_s
from swarmplan.chains.shortest import shortest
from swarmplan.core.names import Quality
from swarmplan.core.problem import Deadlines, Problem
from swarmplan.core.workload import Request
from swarmplan.methods.routers import router_for, router_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.figures import JUDGED_BY
from swarmplan.simulator.metrics import WARM_UP, Interval, Summary, summarise
from swarmplan.simulator.service import Yardstick

QUALITIES: tuple[Quality, ...] = ("slow-down", "late", "fair")
FACTOR = 2.0
FLOOD, FLOOD_S = 100, 60.0


def with_deadlines(setting: Setting) -> Setting:
    """The setting, users expecting what the planned request takes alone, times a factor."""
    cost = CostModel.of(setting.problem)
    graph, shape = build_graph(cost, setting.placement), cost.planned(0)
    route = graph.route(shortest(graph, *request_costs_s(cost, graph, shape))[0])
    time = cost.route_time(route, shape)
    limits = Deadlines(first_token_s=FACTOR * time.ttft_s, token_s=FACTOR * time.tpot_s)
    planning = replace(setting.problem.planning, deadlines=limits)
    return replace(setting, problem=replace(setting.problem, planning=planning))


def flooded(requests: Sequence[Request], seed: int) -> list[Request]:
    """The requests, and many of one client in the middle of them."""
    rng = np.random.default_rng(seed)
    begin_s = requests[len(requests) // 2].arrival_s
    like = rng.choice(len(requests), FLOOD)
    extra = [
        replace(
            requests[i],
            id=len(requests) + n,
            client=2,
            arrival_s=begin_s + float(rng.uniform(0, FLOOD_S)),
        )
        for n, i in enumerate(like.tolist())
    ]
    return [*requests, *extra]


def run(problem: Problem, setting: Setting, router: str, requests: Sequence[Request]) -> Summary:
    """The figures of one run."""
    cost = CostModel.of(problem)
    made = router_named(router)(cost, setting.placement)
    result = simulate(problem, setting.placement, made, requests)
    return summarise(result, warm_up=WARM_UP, by=Yardstick.of(cost, requests))


def change(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """How much more, paired; the figures themselves where the other is nothing."""
    known = [(a, b) for a, b in zip(ours, theirs, strict=True) if b > 0]
    found = Interval.of([a / b - 1.0 for a, b in known])
    return f"{found.mean * 100:+.1f} ± {found.half_width * 100:.1f} %"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--setting", nargs="+", default=SETTINGS[1:], choices=SETTINGS)
    parser.add_argument("--loads", type=float, nargs="+", default=(0.3, 0.7, 0.85))
    args = parser.parse_args()
    heads = [f"{q} | its mean response" for q in QUALITIES]
    print(f"| setting, load, arrivals | {' | '.join(heads)} |")
    print("|---" * (1 + 2 * len(QUALITIES)) + "|")
    for name in args.setting:
        setting = with_deadlines(setting_of(name))
        for load in args.loads:
            for arrivals in ("poisson", "azure", "flood"):
                runs: dict[str, list[Summary]] = {}
                for seed in range(args.first_seed, args.first_seed + args.seeds):
                    kind = "poisson" if arrivals == "flood" else arrivals
                    drawn = requests_of(load * setting.rate_per_s, seed, kind)
                    asked = flooded(drawn, seed) if arrivals == "flood" else drawn
                    for quality in ("mean", *QUALITIES):
                        router = router_for("overlap", quality)
                        made = run(setting.problem, setting, router, asked)
                        runs.setdefault(quality, []).append(made)
                cells = [
                    change([f.of(s) for s in runs[q]], [f.of(s) for s in runs["mean"]])
                    for q in QUALITIES
                    for f in (JUDGED_BY[q], JUDGED_BY["mean"])
                ]
                print(f"| {name} {load} {arrivals} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
