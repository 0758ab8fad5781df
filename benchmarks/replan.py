"""Re-planning over a day of varying load: never move, always move, move when it pays.

Every hour each policy may move. *never* keeps the plan that is best for the mean load,
*always* goes to the plan that is best for the load of the hour, *replan* asks ``replan`` with the
load it sees (assumed to last for its horizon) and the same plans as targets. All three begin with
the same plan and pay by the cost model of docs/replan.md: request-seconds of service and waiting
under the true load, servers missing while they load, generations cut off. The event simulator
cannot change spans during a run, so it takes no part.

    python benchmarks/replan.py [servers]
"""

from __future__ import annotations

import csv
import gzip
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from swarms import swarm

from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.moves.replan import Option, Terms, price, replan
from swarmplan.placement.moves.schedule import phases
from swarmplan.placement.moves.service import Service, draining_s, remembering, request_seconds
from swarmplan.placement.rules.composed import chain_plans
from swarmplan.placement.sessions import task_of
from swarmplan.workload.load import at_load

DAY_S, WINDOW_S = 86_400.0, 3_600.0
WINDOWS = int(DAY_S / WINDOW_S)
TRACE = Path(__file__).resolve().parents[2] / "shared/data/traces/azure2023_conv.csv.gz"
#: Load of the busiest window as a share of what the best plan for throughput sustains.
PEAK = 0.8
#: The hysteresis of ``swarmplan swarm watch``, which decides again and again too.
MARGIN = 0.2
#: What ``replan`` expects: the load that it sees for so long, then the mean load, which ``never``
#: was planned for, for so long.
LASTS_S, REVERTS_S = 2 * 3600.0, 6 * 3600.0


def diurnal() -> list[float]:
    """A day with one valley and one peak, five to one, relative to the peak."""
    return [0.6 - 0.4 * math.cos(2 * math.pi * (w + 0.5) / WINDOWS) for w in range(WINDOWS)]


def steps() -> list[float]:
    """Quiet nights, busy office hours, relative to the peak."""
    return [1.0 if 8 <= w < 18 else 0.25 for w in range(WINDOWS)]


def traced() -> list[float]:
    """Arrivals of the Azure conversation trace, its span stretched to a day."""
    with gzip.open(TRACE, "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    arrivals = [datetime.fromisoformat(row[0][:26]).timestamp() for row in rows]
    first, last = min(arrivals), max(arrivals)
    counts = [0] * WINDOWS
    for at in arrivals:
        counts[min(WINDOWS - 1, int((at - first) / (last - first) * WINDOWS))] += 1
    return [c / max(counts) for c in counts]


@dataclass(slots=True)
class Swarm:
    """The swarm that all policies share, with plans and prices remembered."""

    problem: Problem
    seen: dict[float, Sequence[Placement]] = field(default_factory=dict)

    def at(self, load: float) -> Problem:
        """The problem at a load in requests per second."""
        return at_load(self.problem, load / self.problem.workload.rate_per_s)

    def plans(self, load: float) -> Sequence[Placement]:
        """Plans for a load, best first; loads are rounded to three digits."""
        key = float(f"{load:.2g}")
        if key not in self.seen:
            self.seen[key] = [p.placement for p in chain_plans(task_of(self.at(key)))[:3]]
        return self.seen[key]


Decide = Callable[[Placement, float], Option | None]


def day(
    loads: Sequence[float], start: Placement, decide: Decide, evaluate: Callable[..., Service]
) -> tuple[float, int, float]:
    """(request-seconds, servers moved, generations cut off) of one policy over one day."""
    served: list[tuple[float, Service]] = []
    extra = lost = 0.0
    moved, now, clock = 0, start, 0.0
    for w, load in enumerate(loads):
        if clock >= (w + 1) * WINDOW_S:
            continue  # still moving
        option = decide(now, load)
        if option is not None and option.moves:
            for begin, end, spans in phases(option.migration, now, option.placement):
                served.append((end - begin, evaluate(spans)))
            clock += option.migration.duration_s
            extra, lost = extra + option.lost_s, lost + option.lost_sessions
            moved, now = moved + option.moves, option.placement
        rest = max(0.0, (w + 1) * WINDOW_S - clock)
        served.append((rest, evaluate(now)))
        clock += rest
    total, backlog = request_seconds(split(served, loads))
    return total + draining_s(backlog, evaluate(now)) + extra, moved, lost


def split(
    served: Sequence[tuple[float, Service]], loads: Sequence[float]
) -> list[tuple[float, Service, float]]:
    """Stages of one service and one load each, cut off at the end of the day."""
    found, clock = [], 0.0
    for seconds, service in served:
        end = clock + seconds
        while clock < end - 1e-9 and clock < DAY_S - 1e-6:
            w = min(len(loads) - 1, int((clock + 1e-6) / WINDOW_S))
            stop = min(end, (w + 1) * WINDOW_S)
            found.append((stop - clock, service, loads[w]))
            clock = stop
        clock = end
    return found


def run(name: str, shape: Sequence[float], shared: Swarm, peak: float, mbit: float) -> bool:
    """One line of the table; whether the target is met."""
    problem = shared.problem
    loads = [max(1e-6, s * peak) for s in shape]
    evaluate = remembering(CostModel.of(problem))
    mean = sum(loads) / len(loads)
    start = shared.plans(mean)[0]
    terms = Terms(horizon_s=2 * 3600.0, evaluations=300, margin=MARGIN)

    def never(now: Placement, load: float) -> Option | None:
        return None

    def always(now: Placement, load: float) -> Option | None:
        return price(
            CostModel.of(shared.at(load)),
            now,
            shared.plans(load)[0],
            terms=terms,
            evaluate=evaluate,
        )

    def pays(now: Placement, load: float) -> Option | None:
        plans = [*shared.plans(load), start]
        ahead = replace(terms, forecast=((LASTS_S, load), (REVERTS_S, mean)))
        task = task_of(shared.at(load))
        decision = replan(task, now, targets=plans, terms=ahead, evaluate=evaluate)
        return decision.chosen if decision.worth else None

    begun = time.process_time()
    results = {p.__name__: day(loads, start, p, evaluate) for p in (never, always, pays)}
    better = min(results["never"][0], results["always"][0])
    excess = results["pays"][0] / better - 1
    figures = "\t".join(f"{t / 1e3:.1f}\t{m}\t{c:.0f}" for t, m, c in results.values())
    taken = time.process_time() - begun
    print(f"{name}\t{mbit:g}\t{figures}\t{excess * 100:+.2f} %\t{taken:.0f}", flush=True)
    return excess <= 0.01


def main() -> None:
    servers = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    print(f"# {servers} servers, BLOOM-176B; thousands of request-seconds, moves, generations lost")
    columns = [
        f"{p} {what}" for p in ("never", "always", "replan") for what in ("kreq-s", "moves", "lost")
    ]
    print("\t".join(["load", "Mbit/s", *columns, "replan over the better", "CPU s"]))
    met = []
    shapes = {"diurnal": diurnal(), "office hours": steps()}
    if TRACE.is_file():
        shapes["Azure conv, stretched"] = traced()
    for mbit in (100.0, 1_000.0):
        base = swarm(servers, clients=2, seed=1)
        linked = tuple(replace(s, download_bytes_per_s=mbit * 1e6 / 8) for s in base.servers)
        shared = Swarm(replace(base, servers=linked))
        most = max(p.rate_per_s for p in chain_plans(task_of(shared.problem)))
        met += [run(name, shape, shared, PEAK * most, mbit) for name, shape in shapes.items()]
    print(f"# at most 1 % above the better of never and always: {sum(met)} of {len(met)}")


if __name__ == "__main__":
    main()
