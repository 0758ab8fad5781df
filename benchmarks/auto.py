"""``auto`` against the best of three rivals: response time by load, arrivals and setting.

Rivals: PETALS with its cache flag tuned, CG-BP + WS-RR, and GBP-CR + GCA + JFFC as published (the
capacity c by the lower bound, spare servers idle). Same requests, same constants, same waiting
rule for all. Load 1 is the highest rate that any composed chains sustain in that setting. Bursty
arrivals are the public Azure code trace of 2023, stretched to the rate; with ``--holdout`` plans
are made on its first half and tested on the second.

    python benchmarks/auto.py --setting twenty --arrivals azure --loads 0.7 0.95
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from swarmplan.core.errors import HeuristicFailedError, SwarmplanError, SwarmplanWarning
from swarmplan.core.names import Admission, Sharing, names
from swarmplan.core.objective import goal_of
from swarmplan.core.plan import Placement, Trial
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.methods.certify import floor_of
from swarmplan.methods.draft import Settings
from swarmplan.methods.routers import router_named
from swarmplan.methods.table import method_named
from swarmplan.perfmodel.capacity import most_per_s
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.composed import chain_plan, chain_plans
from swarmplan.placement.rules.gbp_cr import gbp_cr, max_capacity
from swarmplan.placement.sessions import task_of
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import WARM_UP, summarise
from swarmplan.workload.draw import draw_requests

ROOT = Path(__file__).resolve().parents[1]
TRACE = ROOT.parent / "shared" / "data" / "traces" / "azure2023_code.csv.gz"
SETTINGS = ("abvt", "bellcanada", "geant2012", "gts-ce", "twenty")
LOADS = (0.3, 0.5, 0.7, 0.85, 0.95)
JOIN_ORDERS = 3
#: Latitude and longitude of the places of the 20-server setting, the client's (Frankfurt) first.
PLACES = (
    (50.1, 8.7), (51.5, -0.1), (48.9, 2.4), (52.4, 4.9), (40.4, -3.7), (45.5, 9.2), (52.5, 13.4),
    (48.2, 16.4), (59.3, 18.1), (52.2, 21.0), (50.1, 14.4), (41.9, 12.5), (55.7, 12.6),
    (53.3, -6.3), (38.7, -9.1), (47.5, 19.0), (60.2, 24.9), (46.2, 6.1), (44.4, 26.1), (59.9, 10.7),
)  # fmt: skip


def twenty(seed: int = 0) -> dict[str, Any]:
    """The published setting of GBP-CR: 20 servers, a fifth of them 40 GB, the others 20 GB.

    Times of a request (2,000 tokens in, 20 out): 108.9 and 175.2 ms per block.
    """
    rng = np.random.default_rng(seed)
    large = set(rng.permutation(20)[:4].tolist())
    servers = []
    for j, place in enumerate(rng.integers(len(PLACES), size=20).tolist()):
        lat, lon = PLACES[place]
        kind = "large" if j in large else "small"
        mile = round(float(rng.uniform(0.5, 6.0)), 2)
        where = {"lat": lat, "lon": lon, "last_mile_ms": mile}
        servers.append({"id": f"s{j}", "device": kind, **where})
    stream = {"client": "c", "rate_per_s": 0.2, "prompt_tokens": 2000, "output_tokens": 20}
    return {
        "format": "swarmplan/scenario/1",
        "name": "twenty",
        "model": {
            "name": "BLOOM-176B, published constants",
            "num_blocks": 70,
            "hidden_size": 14336,
            "block_mb": 1320,
            "cache_bytes_per_token": round(0.11e9 / 2020),
        },
        "devices": {
            "large": {
                "memory_gb": 40,
                "decode_ms": 1.32 / 1.02,
                "prefill_base_ms": 1,
                "prefill_us_per_token": 5e9 / 120e12 * 1e6,
            },
            "small": {
                "memory_gb": 20,
                "decode_ms": 1.32 / 0.51,
                "prefill_base_ms": 1,
                "prefill_us_per_token": 5e9 / 80e12 * 1e6,
            },
        },
        "servers": servers,
        "clients": [{"id": "c", "lat": PLACES[0][0], "lon": PLACES[0][1]}],
        "network": {"delay": "internet", "step_overhead_ms": 18, "prefill_overhead_ms": 18},
        "workload": {"requests": 2000, "streams": [stream]},
    }


def problem_of(setting: str, arrivals: str, sharing: Sharing) -> Problem:
    """The problem of a setting, with its own streams or with the trace."""
    if setting == "twenty":
        document = twenty()
    else:
        document = tomllib.loads((ROOT / "scenarios" / f"{setting}.toml").read_text())
    document["sharing"] = sharing
    if arrivals == "azure":
        document["workload"] = {"trace": {"csv": str(TRACE)}}
    return build(msgspec.convert(document, schema.Scenario), ROOT).problem


def capacity_per_s(problem: Problem) -> float:
    """The highest rate that chains of GBP-CR, CG-BP or whole models have the caches for.

    At most what all servers together compute. Tiers, which no rival has, are left out: they would
    only move the loads.
    """
    drawn = draw_requests(problem, 0, num_requests=2_000)
    shapes = [r.prompt_tokens for r in drawn], [r.output_tokens for r in drawn]
    kept = max(
        p.rate_per_s for p in chain_plans(task_of(problem)) if not p.name.startswith("tiers")
    )
    return min(kept, most_per_s(CostModel.of(problem), shapes))


def parts(
    problem: Problem, rate_per_s: float, count: int, holdout: bool
) -> tuple[Problem, Problem]:
    """The problem to plan and the one to test, both at a rate."""
    load = problem.workload
    if not load.trace:
        scale = rate_per_s / load.rate_per_s
        classes = tuple(replace(c, rate_per_s=c.rate_per_s * scale) for c in load.classes)
        loaded = replace(problem, workload=replace(load, classes=classes))
        return loaded, loaded
    both = load.trace[: 2 * count if holdout else count]
    span = both[-1].arrival_s - both[0].arrival_s
    stretch = (len(both) - 1) / span / rate_per_s
    both = tuple(replace(r, arrival_s=(r.arrival_s - both[0].arrival_s) * stretch) for r in both)
    half = len(both) // 2 if holdout else 0
    first, second = (
        replace(problem, workload=replace(load, trace=t, num_requests=len(t)))
        for t in (both[:half] or both, both[half:])
    )
    return first, second


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Mean response of one method, and its 95th percentile, seconds; nan = it failed."""

    mean_s: float
    p95_s: float


def responses(
    problem: Problem,
    decisions: Sequence[tuple[Placement, str]],
    draws: Sequence[Sequence[Request]],
    admission: Admission,
) -> Cell:
    """Averages over all draws and decisions."""
    found = []
    for requests in draws:
        for placement, router in decisions:
            made = router_named(router)(CostModel.of(problem), placement)
            result = simulate(problem, placement, made, requests, admission=admission)
            figures = summarise(result, warm_up=WARM_UP)
            whole = figures.completed == figures.requests
            found.append(figures.response_s if whole else None)
    if any(f is None for f in found):
        return Cell(mean_s=float("nan"), p95_s=float("nan"))
    return Cell(
        mean_s=float(np.mean([f.mean for f in found if f])),
        p95_s=float(np.mean([f.p95 for f in found if f])),
    )


def published(problem: Problem) -> Placement:
    """GBP-CR for every c, chosen by the lower bound."""
    cost, plans = CostModel.of(problem), []
    for c in range(1, max_capacity(cost) + 1):
        with suppress(HeuristicFailedError):
            plans.append(chain_plan(cost, gbp_cr(cost, c), f"c={c}"))
    return min(plans, key=lambda p: (p.lower_s, -p.rate_per_s)).placement


def decisions(problem: Problem, admission: Admission) -> Iterator[tuple[str, Any]]:
    """(method, its placements and routers) or (method, why it failed)."""
    orders = {"PETALS tuned": range(1, JOIN_ORDERS + 1)}
    for name, method in (("PETALS tuned", "petals-tuned"), ("CG-BP + WS-RR", "cg-bp")):
        try:
            drafts = [
                method_named(method)(problem, Settings(seed=s)) for s in orders.get(name, range(1))
            ]
            yield name, [(d.placement, d.router) for d in drafts]
        except SwarmplanError as error:
            yield name, error
    yield "GBP-CR + JFFC", [(published(problem), "jffc")]
    began = time.monotonic()
    draft = method_named("auto")(problem, Settings(admission=admission))
    print(f"auto took {time.monotonic() - began:.1f} s: {draft.notes[0]}", file=sys.stderr)
    yield "auto", [(draft.placement, draft.router)]


def cell(args: argparse.Namespace, base: Problem, capacity: float, load: float) -> list[str]:
    """One row of the table."""
    rate = load * capacity
    alone = min(c.service_time_s for p in chain_plans(task_of(base))[:1] for c in p.chains)
    count = int(min(max(2_000, 20 * rate * alone), args.requests))
    planned, tested = parts(base, rate, count, args.holdout)
    seeds = range(1) if base.workload.trace else range(args.seeds)
    draws = [draw_requests(tested, seed, num_requests=count) for seed in seeds]
    cells: dict[str, Cell] = {}
    for name, made in decisions(planned, args.admission):
        if isinstance(made, SwarmplanError):
            cells[name] = Cell(mean_s=float("nan"), p95_s=float("nan"))
            continue
        cells[name] = responses(tested, made, draws, args.admission)
    figure = {n: c.p95_s if args.metric == "p95" else c.mean_s for n, c in cells.items()}
    auto = figure.pop("auto")
    best = float(np.nanmin(list(figure.values())))
    gain = 1.0 - auto / figure["CG-BP + WS-RR"]
    goal, cost = goal_of("response", args.metric), CostModel.of(tested)
    trials = [Trial(seed=s, requests=count, admission=args.admission) for s in seeds]
    floor = float(np.mean([floor_of(cost, goal, trial) for trial in trials]))
    return [
        f"{load:.2f}",
        f"{rate:.2f}",
        *(f"{v:.1f}" for v in figure.values()),
        f"{auto:.1f}",
        f"{(auto / best - 1) * 100:+.1f} %",
        f"{gain * 100:+.0f} %",
        f"{1 - floor / figure['CG-BP + WS-RR']:.0%}",
    ]


def main() -> None:
    """Print one Markdown table per setting and kind of arrivals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", nargs="+", choices=SETTINGS, default=SETTINGS)
    parser.add_argument("--arrivals", nargs="+", choices=("poisson", "azure"), default=["poisson"])
    parser.add_argument("--loads", nargs="+", type=float, default=LOADS)
    parser.add_argument("--admission", choices=("retry", "queue"), default="retry")
    parser.add_argument("--metric", choices=("mean", "p95"), default="mean")
    parser.add_argument("--sharing", choices=names(Sharing), default="serial")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--holdout", action="store_true", help="test on another part of the trace")
    args = parser.parse_args()
    warnings.simplefilter("ignore", SwarmplanWarning)
    for setting in args.setting:
        for arrivals in args.arrivals:
            base = problem_of(setting, arrivals, args.sharing)
            capacity = capacity_per_s(base)
            told = "" if not args.holdout else ", tested on another part"
            print(
                f"\n{setting}, {arrivals}{told}, rule {args.admission}: {args.metric} response s\n"
            )
            print(
                "| load | requests/s | PETALS tuned | CG-BP + WS-RR | GBP-CR + JFFC | auto "
                "| over best rival | gain over CG-BP | no plan gains more than |"
            )
            print("|" + "---|" * 9)
            for load in args.loads:
                print("| " + " | ".join(cell(args, base, capacity, load)) + " |")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
