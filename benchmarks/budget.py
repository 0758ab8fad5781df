"""Drift plus penalty: how near cost and spending come to what is asked for, and what is overdrawn.

    python benchmarks/budget.py --requests 2000 --seeds 3

First the system that can be reckoned by hand: a request in 0.8 of the slots takes A, which costs 1
and spends 1, or B, which costs 3; 0.5 a slot are allowed, so that 1.4 is the least mean cost. Then
the router ``budgeted`` in the simulator: the shipped scenario ``cloud`` (L40S, L4 and T4 of 350, 72
and 70 W of board power; idle watts are assumed), placed by chain composition, at ``--load`` of its
rate; allowed is the middle between the power that ``overlap`` takes for its work and the least that
any chain takes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np

from swarmplan import api
from swarmplan.core.allowance import Allowance
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.expense import work_w
from swarmplan.routing.api import Decision, Router, SwarmView
from swarmplan.routing.budget import Budget
from swarmplan.routing.budgeted import OnBudget
from swarmplan.routing.overlap import Overlap
from swarmplan.scenarios.shipped import shipped_scenario
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import WARM_UP, summarise
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load

WEIGHTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
SLOTS = 100_000
#: Assumed, by device of the scenario.
IDLE_W = {"l40s": 40.0, "l4": 15.0, "t4": 10.0}
#: With so little allowed and so little weight on time chains are chosen by what they spend.
LEAST = {"energy_w": 1.0, "weight": 1e-3}


def textbook(weight: float) -> tuple[float, float, float]:
    """Cost and spending per slot, and mean backlog, of the system with two options."""
    budget, cost, spent, backlog = Budget(allowed=0.5), 0.0, 0.0, 0.0
    for arrives in (np.random.default_rng(0).random(SLOTS) < 0.8).tolist():
        takes_a = arrives and weight * 1.0 + budget.backlog <= weight * 3.0
        cost += arrives * (1.0 if takes_a else 3.0)
        spent += takes_a
        backlog += budget.backlog
        budget = budget.after(float(takes_a))
    return cost / SLOTS, spent / SLOTS, backlog / SLOTS


def print_textbook() -> None:
    """The first table."""
    print("| V | cost - 1.4 | at most | spent a slot of 0.5 | backlog / V | of 1.9 to 2.2 |")
    print("|---|---|---|---|---|---|")
    for weight in WEIGHTS:
        cost, spent, backlog = textbook(weight)
        most = 1.0 / weight + 0.002
        good = cost - 1.4 <= most and 1.9 <= backlog / weight <= 2.2
        figures = f"{cost - 1.4:.4f} | {most:.3f} | {spent:.4f} | {backlog / weight:.2f}"
        print(f"| {weight:g} | {figures} | {'PASS' if good else 'FAIL'} |")


class Watched:
    """A router whose backlog is looked at with every decision."""

    def __init__(self, router: OnBudget) -> None:
        self._router = router
        self.backlogs: list[float] = []

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        """As the router."""
        found = self._router(request, view, now_s, start_block=start_block, exclude=exclude)
        self.backlogs.append(self._router.accounts[0].budget.backlog)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """Figures of a run: times in seconds, the power of its work, the router's own mean cost."""

    response_s: float
    p95_s: float
    cost_s: float
    power_w: float
    kwh_per_million: float


def run(problem: Problem, placement: Placement, router: Router, requests: list[Request]) -> Ran:
    """One run."""
    result = simulate(problem, placement, router, requests)
    summary = summarise(result, warm_up=WARM_UP)
    assert summary.kwh_per_million_tokens is not None
    return Ran(
        response_s=summary.response_s.mean,
        p95_s=summary.response_s.p95,
        cost_s=float(np.nanmean(result.cost_s)),
        power_w=float((work_w(problem) * result.compute_busy_frac).sum()),
        kwh_per_million=summary.kwh_per_million_tokens,
    )


def setting(load: float) -> tuple[Problem, Placement]:
    """The scenario with watts, and its plan."""
    problem = at_load(shipped_scenario("cloud").problem, load)
    servers = (replace(s, idle_w=IDLE_W[s.device]) for s in problem.servers)
    problem = replace(problem, servers=tuple(servers))
    return problem, api.plan(problem, "chains").placement


def print_runs(load: float, seeds: int, count: int) -> None:
    """The second table: means over the seeds."""
    problem, placement = setting(load)
    cost = CostModel.of(problem)
    drawn = [list(draw_requests(problem, seed, num_requests=count)) for seed in range(seeds)]

    def ran(make: dict[str, float] | None) -> tuple[list[Ran], float]:
        runs, backlogs = [], []
        for requests in drawn:
            if make is None:
                runs.append(run(problem, placement, Overlap(cost, placement), requests))
                continue
            router = OnBudget(cost, placement, allowance=Allowance(**make))
            watched = Watched(router)
            runs.append(run(problem, placement, watched, requests))
            backlogs.append(float(np.mean(watched.backlogs)))
        return runs, float(np.mean(backlogs)) if backlogs else 0.0

    def shown(name: str, runs: list[Ran], backlog: str, per_weight: str) -> None:
        mean = {f: float(np.mean([getattr(r, f) for r in runs])) for f in Ran.__slots__}
        times = f"{mean['response_s']:.1f} / {mean['p95_s']:.0f} | {mean['cost_s']:.1f}"
        energy = f"{mean['power_w']:.1f} | {mean['kwh_per_million']:.2f}"
        print(f"| {name} | {times} | {energy} | {backlog} | {per_weight} |", flush=True)

    free, _ = ran(None)
    least, _ = ran(LEAST)
    allowed_w = float(
        np.mean([(a.power_w + b.power_w) / 2 for a, b in zip(free, least, strict=True)])
    )
    print(f"cloud, load {load:g}, {seeds} seeds of {count} requests, {allowed_w:.1f} W allowed\n")
    print("| V | response mean / p95 s | cost s | W of work | kWh per M tokens | backlog | / V |")
    print("|---|---|---|---|---|---|---|")
    shown("overlap", free, "", "")
    for weight in reversed(WEIGHTS):
        runs, backlog = ran({"energy_w": allowed_w, "weight": weight})
        shown(f"{weight:g}", runs, f"{backlog:.2f}", f"{backlog / weight:.2f}")
    shown("least energy", least, "", "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", type=float, default=0.5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=2_000)
    given = parser.parse_args()
    print_textbook()
    print()
    print_runs(given.load, given.seeds, given.requests)
