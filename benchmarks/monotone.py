"""Whether an improvement of the swarm ever makes the recommended plan worse.

    python benchmarks/monotone.py --swarms 60 --time-limit 5 --slack 20

Random swarms, four improvements of each: distances 20 % shorter, half the software overhead of a
step, 25 % more memory everywhere, one slow server replaced by a fast one. The plan of ``auto`` for
the swarm as it was is known to the search for the better one, as ``swarmplan whatif`` hands it on.
Paired over fresh requests: after against before, and the search that knows the plan against one
that does not. A line counts as a fault where the whole 95 % interval is above +1 %.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from swarmplan.chains.capacity import most_planned_per_s
from swarmplan.core.content import FloatArray
from swarmplan.core.errors import SwarmplanError, SwarmplanWarning
from swarmplan.core.objective import MEAN_RESPONSE
from swarmplan.methods import improving
from swarmplan.methods.draft import Draft, Known, Settings
from swarmplan.methods.judge import Judge
from swarmplan.methods.table import method_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.scenarios.generate import generate, write_document
from swarmplan.scenarios.scenario import Scenario, load_scenario
from swarmplan.simulator.metrics import Interval
from swarmplan.studies.change import respanned
from swarmplan.studies.edits import Edit, apply, rtt_scale, scale_load, set_value
from swarmplan.workload.draw import draw_requests

FRESH, REQUESTS, FIRST_SEED = 20, 400, 500
#: What counts as worse.
TOLERATED = 0.01


def swarm(seed: int, folder: Path) -> tuple[Scenario, Edit]:
    """A random swarm, and what brings it to 30 to 85 % of what no plan exceeds."""
    rng = np.random.default_rng(seed)
    servers, clients = int(rng.integers(6, 15)), int(rng.integers(1, 4))
    path = folder / f"{seed}.toml"
    write_document(path, generate("geographic", servers=servers, clients=clients, seed=seed))
    found = load_scenario(path)
    share = float(rng.uniform(0.3, 0.85))
    most = most_planned_per_s(CostModel.of(found.problem))
    return found, scale_load(share * most / found.problem.workload.rate_per_s)


def improvements(scenario: Scenario) -> Iterator[tuple[str, list[Edit]]]:
    """Named edits that no swarm should mind."""
    document, problem = scenario.document, scenario.problem
    yield "nearer", [rtt_scale(0.8)]
    yield "overhead", [set_value("network.step_overhead_ms", document.network.step_overhead_ms / 2)]
    more = {name: 1.25 * d.memory_gb for name, d in document.devices.items() if d.memory_gb}
    yield "memory", [set_value(f"devices.{name}.memory_gb", gb) for name, gb in more.items()]
    by_memory = np.argsort(problem.memory_bytes, kind="stable")
    slow, fast = problem.servers[by_memory[0]], problem.servers[by_memory[-1]]
    yield "server", [set_value(f"servers.{slow.id}.device", fast.device)]


def planned(scenario: Scenario, time_limit_s: float, known: Sequence[Known] = ()) -> Draft:
    """What auto makes of a scenario."""
    settings = Settings(time_limit_s=time_limit_s, known=tuple(known))
    return method_named("auto")(scenario.problem, settings)


def figures(scenario: Scenario, draft: Draft) -> FloatArray:
    """Mean response over fresh requests, seed by seed; infinite where some got no service."""
    cost = CostModel.of(scenario.problem)
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + FRESH):
        requests = draw_requests(scenario.problem, seed, num_requests=REQUESTS)
        judge = Judge(cost, requests, admission="retry", goal=MEAN_RESPONSE)
        one = judge(draft.placement, draft.router)
        found.append(np.inf if one.unserved else one.figure_s)
    return np.array(found)


def change(after: FloatArray, before: FloatArray) -> Interval:
    """How much longer, paired."""
    return Interval.of((after / before - 1.0).tolist())


def main() -> None:
    """Print a line per swarm and improvement, and how many are faults."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--swarms", type=int, default=60)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--time-limit", type=float, default=5.0)
    parser.add_argument("--slack", type=float, default=20.0)
    given = parser.parse_args()
    improving.WORK_SHARE /= given.slack
    limit_s = given.slack * given.time_limit
    warnings.simplefilter("ignore", SwarmplanWarning)
    worse, behind, count = 0, 0, 0
    print("| swarm | improvement | before s | after | against a search that knows no plan |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.first, given.first + given.swarms):
            raw, load = swarm(seed, Path(folder))
            scenario = apply(raw, [load])
            try:
                base = planned(scenario, limit_s)
            except SwarmplanError as error:
                print(f"| {seed} | no plan: {error} |")
                continue
            before = figures(scenario, base)
            for name, edits in improvements(scenario):
                better = apply(raw, [load, *edits])
                known = (respanned(base.placement, scenario, better), base.router)
                after = figures(better, planned(better, limit_s, [known]))
                alone = figures(better, planned(better, limit_s))
                gained, lost = change(after, before), change(after, alone)
                count += 1
                worse += gained.mean - gained.half_width > TOLERATED
                behind += lost.mean - lost.half_width > TOLERATED
                print(
                    f"| {seed} | {name} | {before.mean():.2f} | {_percent(gained)} | "
                    f"{_percent(lost)} |",
                    flush=True,
                )
    print(f"\n{worse} of {count} improvements made the plan worse; {behind} plans are behind one")
    print("that was made without knowing the plan before")


def _percent(found: Interval) -> str:
    return f"{found.mean * 100:+.1f} ± {found.half_width * 100:.1f} %"


if __name__ == "__main__":
    main()
