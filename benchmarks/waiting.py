"""Every waiting rule beside the polling of PETALS, router ``overlap``, one task at a time.

    python benchmarks/waiting.py --seeds 5

Settings, plans and requests of benchmarks/token_aware.py: compute is what is scarce there, so few
wait for cache below saturation. Paired over seeds against polling; where memory is scarce:
benchmarks/lines.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from token_aware import SETTINGS, Setting, requests_of, setting_of

from swarmplan.core.names import Admission
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.overlap import Overlap
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import WARM_UP, Interval, Summary, summarise

RULES: tuple[Admission, ...] = ("retry", "queue", "reserve", "notify", "sized", "ordered")


def run(setting: Setting, requests: Sequence[Request], rule: Admission) -> Summary:
    """The figures of one run."""
    cost = CostModel.of(setting.problem)
    router = Overlap(cost, setting.placement)
    result = simulate(setting.problem, setting.placement, router, requests, admission=rule)
    return summarise(result, warm_up=WARM_UP)


def cell(ours: Sequence[Summary], theirs: Sequence[Summary]) -> str:
    """Mean and 95th percentile of the response, of first tokens, and the mean paired."""
    response = np.mean([(s.response_s.mean, s.response_s.p95) for s in ours], axis=0)
    first = np.mean([(s.ttft_s.mean, s.ttft_s.p95) for s in ours], axis=0)
    shown = f"{response[0]:.0f} / {response[1]:.0f}; {first[0]:.1f} / {first[1]:.1f}"
    if ours is theirs:
        return shown
    pairs = zip(ours, theirs, strict=True)
    change = Interval.of([a.response_s.mean / b.response_s.mean - 1.0 for a, b in pairs])
    return f"{shown}; {change.mean * 100:+.1f} ± {change.half_width * 100:.1f} %"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--setting", nargs="+", default=SETTINGS, choices=SETTINGS)
    parser.add_argument("--loads", type=float, nargs="+", default=(0.3, 0.7, 0.85))
    args = parser.parse_args()
    print(f"| setting, load, arrivals | {' | '.join(RULES)} |")
    print("|---" * (1 + len(RULES)) + "|")
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for arrivals in ("poisson", "azure"):
        for name in args.setting:
            setting = setting_of(name)
            for load in args.loads:
                asked = [requests_of(load * setting.rate_per_s, s, arrivals) for s in seeds]
                runs = {rule: [run(setting, r, rule) for r in asked] for rule in RULES}
                cells = [cell(runs[rule], runs[RULES[0]]) for rule in RULES]
                print(f"| {name} {load} {arrivals} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
