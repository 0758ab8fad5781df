"""``auto`` against the best of its rivals: response time by load, arrivals and setting.

Rivals: PETALS with its cache flag tuned, CG-BP + WS-RR, and GBP-CR + GCA + JFFC as published (the
capacity c by the lower bound, spare servers idle); beside them CG-BP with the router ``overlap``,
and the best of CG-BP and PETALS' rule for twelve R with it, chosen by requests that are not those
of the test. Same requests, same constants, same waiting rule for all; a gain is paired over the
tests. Load 1 is the highest rate that ``swarmplan capacity`` finds to hold. Bursty arrivals are the
public Azure code trace of 2023, stretched to the rate: planned on its first part, tested on the
parts after it.

    python benchmarks/auto.py --setting twenty --arrivals azure --loads 0.7 0.95

``--out-of-sample`` as the first option: against every method with every router (out_of_sample.py).
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from improvement import existing

from swarmplan.core.content import FloatArray
from swarmplan.core.errors import HeuristicFailedError, SwarmplanError, SwarmplanWarning
from swarmplan.core.names import Sharing, names
from swarmplan.core.objective import goal_of
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.methods.capacity import capacity
from swarmplan.methods.draft import Settings
from swarmplan.methods.judge import Judge
from swarmplan.methods.table import method_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.composed import chain_plan
from swarmplan.placement.rules.gbp_cr import gbp_cr, max_capacity
from swarmplan.placement.sessions import task_of
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build
from swarmplan.simulator.metrics import Interval
from swarmplan.solve.deadline import Deadline
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load

ROOT = Path(__file__).resolve().parents[1]
TRACE = ROOT.parent / "shared" / "data" / "traces" / "azure2023_code.csv.gz"
SETTINGS = ("abvt", "bellcanada", "geant2012", "gts-ce", "twenty")
LOADS = (0.5, 0.7, 0.85, 0.95)
#: Seed and number of the requests by which the best of them is chosen.
CHOSEN_BY = 1_000_001, 1_000
JOIN_ORDERS = 3
RIVALS = (
    "PETALS tuned",
    "CG-BP + WS-RR",
    "GBP-CR + JFFC",
    "CG-BP + overlap",
    "best R + overlap",
)
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


def parts(
    problem: Problem, rate_per_s: float, count: int, tests: int
) -> tuple[Problem, list[Sequence[Request]]]:
    """The problem to plan at a rate, and the requests of each test."""
    load = problem.workload
    if not load.trace:
        loaded = at_load(problem, rate_per_s / load.rate_per_s)
        return loaded, [draw_requests(loaded, seed, num_requests=count) for seed in range(tests)]
    windows = []
    for i in range(min(tests + 1, len(load.trace) // count)):
        part = load.trace[i * count : (i + 1) * count]
        stretch = (count - 1) / (part[-1].arrival_s - part[0].arrival_s) / rate_per_s
        trace = tuple(
            replace(r, arrival_s=(r.arrival_s - part[0].arrival_s) * stretch) for r in part
        )
        workload = replace(load, trace=trace, num_requests=count)
        windows.append(replace(problem, workload=workload))
    return windows[0], [draw_requests(w, 0, num_requests=count) for w in windows[1:]]


#: Placements and routers of a method.
Made = Sequence[tuple[Placement, str]]


def judge_of(problem: Problem, requests: Sequence[Request], args: argparse.Namespace) -> Judge:
    """A judge by some requests."""
    cost = CostModel.of(problem)
    return Judge(
        cost,
        requests,
        admission=args.admission,
        goal=goal_of("response", args.metric),
    )


def responses(made: Made, judges: Sequence[Judge]) -> FloatArray:
    """(tests,) figure of a method, over its placements; nan where a request was not served."""
    rows = []
    for judge in judges:
        found = [judge(placement, router) for placement, router in made]
        rows.append(np.mean([f.figure_s if not f.unserved else np.nan for f in found]))
    return np.array(rows)


def published(problem: Problem) -> Placement:
    """GBP-CR for every c, chosen by the lower bound."""
    cost, plans = CostModel.of(problem), []
    for c in range(1, max_capacity(cost) + 1):
        with suppress(HeuristicFailedError):
            plans.append(chain_plan(cost, gbp_cr(cost, c), f"c={c}"))
    return min(plans, key=lambda p: (p.lower_s, -p.rate_per_s)).placement


def swept(problem: Problem, args: argparse.Namespace) -> tuple[Placement, str]:
    """The best of CG-BP and PETALS' rule over R with ``overlap``."""
    seed, count = CHOSEN_BY
    judge = judge_of(problem, draw_requests(problem, seed, num_requests=count), args)
    found = [(judge(placement, "overlap"), placement) for placement in existing(problem)]
    return min(found, key=lambda f: (f[0].unserved, f[0].figure_s))[1], "overlap"


def decisions(problem: Problem, args: argparse.Namespace) -> Iterator[tuple[str, Made | None]]:
    """(method, its placements and routers, None where it failed)."""
    orders = {"PETALS tuned": range(1, JOIN_ORDERS + 1)}
    for name, method in (("PETALS tuned", "petals-tuned"), ("CG-BP + WS-RR", "cg-bp")):
        try:
            drafts = [
                method_named(method)(problem, Settings(seed=s)) for s in orders.get(name, range(1))
            ]
            yield name, [(d.placement, d.router) for d in drafts]
            if method == "cg-bp":
                yield "CG-BP + overlap", [(d.placement, "overlap") for d in drafts]
        except SwarmplanError:
            yield name, None
    yield "GBP-CR + JFFC", [(published(problem), "jffc")]
    yield "best R + overlap", [swept(problem, args)]
    began = time.monotonic()
    draft = method_named("auto")(
        problem, Settings(admission=args.admission, time_limit_s=args.time_limit)
    )
    print(f"auto took {time.monotonic() - began:.1f} s: {draft.notes}", file=sys.stderr)
    yield "auto", [(draft.placement, draft.router)]


def cell(args: argparse.Namespace, base: Problem, capacity: float, load: float) -> list[str]:
    """One row of the table."""
    rate = load * capacity
    planned, tests = parts(base, rate, args.requests, args.tests)
    judges = [judge_of(planned, requests, args) for requests in tests]
    found = {
        name: np.full(len(judges), np.nan) if made is None else responses(made, judges)
        for name, made in decisions(planned, args)
    }
    auto = found["auto"]
    best = min(
        (name for name in RIVALS if not np.isnan(found[name]).any()),
        key=lambda name: float(found[name].mean()),
    )
    gain = Interval.of((1.0 - auto / found[best]).tolist())
    return [
        f"{load:.2f}",
        f"{rate:.3f}",
        *(f"{found[name].mean():.1f}" for name in RIVALS),
        f"{auto.mean():.1f}",
        f"{gain.mean * 100:+.1f} ± {gain.half_width * 100:.1f} %",
        best,
    ]


def main() -> None:
    """Print one Markdown table per setting and kind of arrivals."""
    if sys.argv[1:2] == ["--out-of-sample"]:
        import out_of_sample  # it takes a setting from here

        out_of_sample.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", nargs="+", choices=SETTINGS, default=SETTINGS)
    parser.add_argument("--arrivals", nargs="+", choices=("poisson", "azure"), default=["poisson"])
    parser.add_argument("--loads", nargs="+", type=float, default=LOADS)
    parser.add_argument("--admission", choices=("retry", "queue"), default="retry")
    parser.add_argument("--metric", choices=("mean", "p95"), default="mean")
    parser.add_argument("--sharing", choices=names(Sharing), default="serial")
    parser.add_argument("--tests", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--time-limit", type=float, default=30.0)
    args = parser.parse_args()
    warnings.simplefilter("ignore", SwarmplanWarning)
    for setting in args.setting:
        for arrivals in args.arrivals:
            base = problem_of(setting, arrivals, args.sharing)
            task = task_of(base, deadline=Deadline.after(args.time_limit))
            found = capacity(task, admission=args.admission).best.found_per_s
            print(
                f"\n{setting}, {arrivals}, rule {args.admission}: {args.metric} response s; "
                f"load 1 is {found:.3g} requests/s\n"
            )
            print(
                "| load | requests/s | " + " | ".join(RIVALS) + " | auto | gain over | the best |"
            )
            print("|" + "---|" * (len(RIVALS) + 5))
            for load in args.loads:
                print("| " + " | ".join(cell(args, base, found, load)) + " |")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
