"""PETALS, PETALS tuned and CG-BP + WS-RR on three topologies at three loads, equal constants."""

import sys
import warnings
from pathlib import Path

from swarmplan import api
from swarmplan.core.errors import SwarmplanWarning
from swarmplan.scenarios.scenario import load_scenario

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"
METHODS = ("petals", "petals-tuned", "cg-bp")
LOADS = (0.4, 1.0, 2.0)


def main() -> None:
    """Print one Markdown row per topology and load."""
    warnings.simplefilter("ignore", SwarmplanWarning)
    print("| topology | requests/s | PETALS | PETALS tuned | gain | CG-BP + WS-RR | gain |")
    print("|---|---|---|---|---|---|---|")
    for name in ("abvt", "bellcanada", "geant2012"):
        scenario = load_scenario(SCENARIOS / f"{name}.toml")
        for load in LOADS:
            found = api.compare(scenario, methods=METHODS, load=load)
            rate = scenario.problem.workload.rate_per_s * load
            cells = [name, f"{rate:.2f}"]
            for row in found.rows:
                if row.error:
                    cells += ["fails"] + (["-"] if row is not found.rows[0] else [])
                    continue
                value = row.interval(lambda s: s.response_s.mean, found.per_seed(row))
                cells.append(f"{value.mean:.1f} ± {value.half_width:.1f}")
                if row is not found.rows[0]:
                    gain = found.gain(row, lambda s: s.response_s.mean)
                    cells.append(f"{gain.mean * 100:.0f} ± {gain.half_width * 100:.0f} %")
            print("| " + " | ".join(cells) + " |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
