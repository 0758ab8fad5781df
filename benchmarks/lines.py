"""Where memory binds: PETALS' polling against a line, and a client that floods.

    python benchmarks/lines.py --seeds 5

The twenty servers of ``auto.py`` with prompts that fill their caches (``--prompt``), placed by
GBP-CR; arrivals like the public Azure trace, at ``--load`` of what the caches sustain, or at half
of it beside a client that sends 300 requests at once. How full caches and how busy servers are is
printed: a line matters where memory is short.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from auto import PLACES, TRACE, twenty

from swarmplan.chains.compose import gca, total_service_rate
from swarmplan.core.content import FloatArray
from swarmplan.core.names import Admission
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.gbp_cr import gbp_cr
from swarmplan.routing.jffc import Jffc
from swarmplan.routing.overlap import Overlap
from swarmplan.scenarios import schema
from swarmplan.scenarios.build import build
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import Interval
from swarmplan.simulator.result import SimulationResult

ROOT = Path(__file__).resolve().parents[1]
LENGTHS = ROOT.parent / "shared" / "data" / "lengths" / "lmsys_vicuna13b_lengths_ssjf.csv.gz"
#: Sessions that GBP-CR keeps free on every server, as in the reference.
SESSIONS = 20
#: The client that floods, its requests, and the share of the caches that the others take.
FLOODER, FLOOD, OTHERS = 2, 300, 0.5
RULES: tuple[tuple[str, Admission, type[Jffc | Overlap]], ...] = (
    ("polling, JFFC", "retry", Jffc),
    ("polling, overlap", "retry", Overlap),
    ("by size, JFFC", "sized", Jffc),
    ("by size, overlap", "sized", Overlap),
    ("first come, JFFC", "queue", Jffc),
    ("ordered, JFFC", "ordered", Jffc),
    ("ordered, overlap", "ordered", Overlap),
)


def setting(prompt: int) -> Problem:
    """Twenty servers, three clients, long prompts."""
    document = twenty()
    places = [PLACES[i] for i in (0, 4, 16)]
    document["clients"] = [{"id": f"c{i}", "lat": p[0], "lon": p[1]} for i, p in enumerate(places)]
    stream = {"rate_per_s": 0.1, "prompt_tokens": prompt, "output_tokens": 177}
    document["workload"]["streams"] = [
        {"client": f"c{i}", **stream, "rate_per_s": share}
        for i, share in enumerate((0.6, 0.3, 0.1))
    ]
    return build(msgspec.convert(document, schema.Scenario), ROOT).problem


def lengths() -> FloatArray:
    """Answers of the LMSYS conversations, tokens."""
    with gzip.open(LENGTHS, "rt", encoding="utf-8") as file:
        return np.array([int(row["output_tokens"]) for row in csv.DictReader(file)], dtype=float)


@cache
def gaps() -> FloatArray:
    """Times between arrivals of the trace, of mean 1."""
    document = twenty()
    document["workload"] = {"trace": {"csv": str(TRACE)}}
    trace = build(msgspec.convert(document, schema.Scenario), ROOT).problem.workload.trace
    found = np.diff([r.arrival_s for r in trace])
    return np.asarray(found / found.mean())


def requests(
    problem: Problem, pools: tuple[FloatArray, FloatArray], rate: float, count: int, seed: int
) -> list[Request]:
    """Requests of one seed: a window of the trace, clients by share, answers drawn."""
    rng = np.random.default_rng(seed)
    answers, between = pools
    at = int(rng.integers(len(between) - count))
    window = between[at : at + count]
    arrivals = np.cumsum(window / window.mean() / rate)
    prompt = problem.planning.prompt_tokens
    made = []
    for i, arrival in enumerate(arrivals.tolist()):
        output = max(2, int(rng.choice(answers)))
        made.append(
            Request(
                id=i,
                client=int(rng.choice(3, p=(0.6, 0.3, 0.1))),
                arrival_s=arrival,
                prompt_tokens=prompt,
                output_tokens=output,
                reserved_tokens=prompt + output,
            )
        )
    return made


def flooded(made: list[Request]) -> list[Request]:
    """The others as they are, and one client that sends all of its requests in one instant."""
    others = [r if r.client != FLOODER else replace(r, client=0) for r in made]
    start = others[len(others) // 4].arrival_s
    flood = [
        replace(others[i % len(others)], id=len(others) + i, client=FLOODER, arrival_s=start)
        for i in range(FLOOD)
    ]
    return [*others, *flood]


def run(
    problem: Problem, placement: Placement, asked: list[Request], rule: Admission, router: type
) -> SimulationResult:
    """One rule on some requests."""
    cost = CostModel.of(problem)
    return simulate(problem, placement, router(cost, placement), asked, admission=rule)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--prompt", type=int, default=2_000)
    parser.add_argument("--load", type=float, default=0.95)
    args = parser.parse_args()
    problem = setting(args.prompt)
    cost = CostModel.of(problem)
    placement = gbp_cr(cost, SESSIONS)
    most = total_service_rate(gca(cost, placement))
    pools = lengths(), gaps()
    for name, share, kind in (("all alike", args.load, 0), ("one floods", OTHERS, 1)):
        print(f"\n{name}: {share * most:.3f} requests/s, {share:.0%} of what the caches sustain\n")
        print("| rule | response s | against polling | longest wait s | waits of the others s |")
        print("|---|---|---|---|---|")
        found: dict[str, list[SimulationResult]] = {}
        for seed in range(args.seeds):
            asked = requests(problem, pools, share * most, args.requests, 900 + seed)
            asked = flooded(asked) if kind else asked
            for rule, admission, router in RULES:
                one = run(problem, placement, asked, admission, router)
                found.setdefault(rule, []).append(one)
        base = found[RULES[0][0]]
        for rule, results in found.items():
            mean = [float(np.nanmean(r.response_s)) for r in results]
            ratio = Interval.of(
                [m / float(np.nanmean(b.response_s)) for m, b in zip(mean, base, strict=True)]
            )
            waits = [r.start_s - r.arrival_s for r in results]
            longest = np.mean([w.max() for w in waits])
            others = np.mean(
                [w[r.client != FLOODER].mean() for w, r in zip(waits, results, strict=True)]
            )
            print(
                f"| {rule} | {np.mean(mean):.1f} | {ratio.mean:.2f} ± {ratio.half_width:.2f} | "
                f"{longest:.0f} | {others:.1f} |"
            )
        cache = np.mean([r.cache_used_frac.max() for r in base])
        busy = np.mean([r.compute_busy_frac.max() for r in base])
        print(f"\npolling: fullest cache {cache:.0%}, busiest server {busy:.0%} of the time")


if __name__ == "__main__":
    main()
