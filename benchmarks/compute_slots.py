"""Plans that keep to slots for compute, beside plans by memory alone.

    python benchmarks/compute_slots.py --loads 0.5 0.7

Five scenarios as they were before servers had lines, at shares of the highest rate that holds;
mean response over three seeds of 800 requests, router ``overlap``. "memory" is the same search for
servers that compute for everybody at once: caches are its only limit.
"""

from __future__ import annotations

import argparse
import warnings
from contextlib import suppress
from dataclasses import replace

from swarmplan import api
from swarmplan.benchmarks.improvement import HIGHEST, figures, judges_of, problem_at
from swarmplan.core.errors import SwarmplanError, SwarmplanWarning
from swarmplan.core.problem import Problem
from swarmplan.methods.draft import Settings

METHODS = ("search", "exact", "cg-bp", "chains")
REQUESTS, SEEDS = 800, (0, 1, 2)


def by_memory(problem: Problem) -> Problem:
    """The same swarm where servers compute for everybody at once."""
    servers = tuple(replace(s, sharing="independent") for s in problem.servers)
    return replace(problem, servers=servers)


def main() -> None:
    """Print a row for every scenario and load."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenarios", nargs="+", choices=tuple(HIGHEST), default=tuple(HIGHEST))
    parser.add_argument("--loads", nargs="+", type=float, default=(0.5, 0.7, 0.85))
    parser.add_argument("--time-limit", type=float, default=5.0)
    given = parser.parse_args()
    warnings.simplefilter("ignore", SwarmplanWarning)
    print(f"| scenario, load | memory | {' | '.join(METHODS)} |\n|---|{'---|' * 5}", flush=True)
    asked = Settings(time_limit_s=given.time_limit)
    for name in given.scenarios:
        for load in given.loads:
            problem = problem_at(name, load)
            judges = judges_of(problem, REQUESTS, SEEDS)
            cells = [f"{name}, {load:g}"]
            for method, planned in (
                ("search", by_memory(problem)),
                *((m, problem) for m in METHODS),
            ):
                mean_s = float("inf")
                with suppress(SwarmplanError):
                    placement = api.plan(planned, method, settings=asked).placement
                    mean_s = float(figures(judges, placement, "overlap").mean())
                cells.append(f"{mean_s:.0f}")
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
