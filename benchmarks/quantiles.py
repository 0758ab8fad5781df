"""Which quantile of a predicted length to reserve where servers work on one task at a time.

    python benchmarks/quantiles.py --seeds 5

The swarm, the arrivals and the load of ``lines.py``: caches bind. Lengths are predicted by class;
what is reserved is the prompt and a quantile of the class, more is asked for when an answer
outgrows it. Paired against the 95 % quantile.
"""

from __future__ import annotations

import argparse

import numpy as np
from lines import SESSIONS, gaps, setting
from reservation import LIMIT
from token_aware import answers

from swarmplan.chains.compose import gca, total_service_rate
from swarmplan.core.names import Admission
from swarmplan.core.workload import LengthUse, Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.gbp_cr import gbp_cr
from swarmplan.routing.overlap import Overlap
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import Interval, Summary, summarise
from swarmplan.workload.lengths import known_of, provided

QUANTILES = (0.95, 0.5, 0.75, 0.9, 0.99)
RULES: tuple[Admission, ...] = ("retry", "ordered")


def drawn(prompt: int, rate: float, count: int, seed: int, quantile: float) -> list[Request]:
    """Requests of a seed, the same but for what is reserved."""
    rng = np.random.default_rng(seed)
    between = gaps()
    at = int(rng.integers(len(between) - count))
    window = between[at : at + count]
    arrivals = np.cumsum(window / window.mean() / rate).tolist()
    rows = rng.integers(len(answers().values), size=count)
    client = rng.choice(3, count, p=(0.6, 0.3, 0.1)).tolist()
    made = [
        Request(
            id=i,
            client=client[i],
            arrival_s=arrivals[i],
            prompt_tokens=prompt,
            output_tokens=output,
            reserved_tokens=prompt + output,
        )
        for i, output in enumerate(np.array(answers().values)[rows].tolist())
    ]
    use = LengthUse(mode="predictor", quantile=quantile, limit_tokens=LIMIT)
    return list(provided(made, use, known_of(answers(), rows)))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--prompt", type=int, default=500)
    parser.add_argument("--loads", type=float, nargs="+", default=(0.7, 0.95))
    args = parser.parse_args()
    problem = setting(args.prompt)
    cost = CostModel.of(problem)
    placement = gbp_cr(cost, SESSIONS)
    most = total_service_rate(gca(cost, placement))
    print("| load | rule | quantile | response s | against 0.95 | p95 s | TTFT s | extensions |")
    print("|---|---|---|---|---|---|---|---|")
    for load in args.loads:
        for rule in RULES:
            found: dict[float, list[Summary]] = {}
            for quantile in QUANTILES:
                for seed in range(args.seeds):
                    asked = drawn(args.prompt, load * most, args.requests, 700 + seed, quantile)
                    result = simulate(
                        problem, placement, Overlap(cost, placement), asked, admission=rule
                    )
                    found.setdefault(quantile, []).append(summarise(result, warm_up=0.1))
            base = [s.response_s.mean for s in found[QUANTILES[0]]]
            for quantile in sorted(found):
                runs = found[quantile]
                mine = [s.response_s.mean for s in runs]
                ratio = Interval.of([a / b - 1.0 for a, b in zip(mine, base, strict=True)])
                print(
                    f"| {load} | {rule} | {quantile} | {np.mean(mine):.0f} | "
                    f"{ratio.mean * 100:+.1f} ± {ratio.half_width * 100:.1f} % | "
                    f"{np.mean([s.response_s.p95 for s in runs]):.0f} | "
                    f"{np.mean([s.ttft_s.mean for s in runs]):.0f} | "
                    f"{np.mean([s.overflows for s in runs]):.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
