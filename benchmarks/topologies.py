"""PETALS, PETALS tuned, CG-BP and auto on three topologies at three loads, equal constants.

python benchmarks/topologies.py                 # servers work on one task at a time
python benchmarks/topologies.py --independent   # as the papers assume: sessions never meet
"""

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from swarmplan import api
from swarmplan.core.errors import SwarmplanWarning
from swarmplan.core.problem import Problem
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.simulator.compare import Comparison, Row

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"
METHODS = ("petals", "petals-tuned", "cg-bp", ("cg-bp", "overlap"), "auto")
TITLES = ("PETALS", "PETALS tuned", "CG-BP + WS-RR", "CG-BP + overlap", "auto")
#: Of the shipped rate, which is about 0.6 of what memory and compute sustain together.
LOADS = (0.5, 1.0, 1.4)


def idealised(problem: Problem) -> Problem:
    """The same servers if sessions did not slow each other down."""
    servers = tuple(replace(s, sharing="independent") for s in problem.servers)
    return replace(problem, servers=servers)


def cells(found: Comparison) -> Sequence[str]:
    """Mean response and its interval of every method, then auto's gain over CG-BP + WS-RR."""
    told = []
    for row in found.rows:
        value = row.interval(lambda s: s.response_s.mean, found.per_seed(row))
        told.append("fails" if row.error else f"{value.mean:.1f} ± {value.half_width:.1f}")
    return [*told, gain(found, found.rows[2], found.rows[4])]


def gain(found: Comparison, before: Row, after: Row) -> str:
    """The paired gain of one row over another."""
    if before.error or after.error:
        return "-"
    pair = replace(found, rows=(before, after))
    value = pair.gain(after, lambda s: s.response_s.mean)
    return f"{value.mean * 100:.0f} ± {value.half_width * 100:.0f} %"


def main() -> None:
    """Print one Markdown row per topology and load."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--independent", action="store_true")
    independent = parser.parse_args().independent
    warnings.simplefilter("ignore", SwarmplanWarning)
    heads = ("topology", "requests/s", *TITLES, "auto over CG-BP + WS-RR")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for name in ("abvt", "bellcanada", "geant2012"):
        problem = load_scenario(SCENARIOS / f"{name}.toml").problem
        if independent:
            problem = idealised(problem)
        for load in LOADS:
            found = api.compare(problem, METHODS, load=load)
            rate = f"{problem.workload.rate_per_s * load:.3f}"
            print("| " + " | ".join((name, rate, *cells(found))) + " |", flush=True)


if __name__ == "__main__":
    main()
