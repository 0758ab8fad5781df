"""The exact method beside search, CG-BP and PETALS on generated instances (docs/exact.md).

``python benchmarks/exact.py [--sets reference b c40 c200 c1000 tight scarce relay demands]
[--seed 0] [--limit 60] [--exact-only] [--milp] [--only NAME ...]`` prints one row an instance:
seconds per token of one session on average, the proven gap, how it was proven, and the CPU seconds;
after every set its worst gap and how many are proven. A method that cannot serve all sessions at
once shows how many find no room. "PETALS" is its own rule with its default cache flag, and all
memory that is left as cache (PETALS itself would leave it unused); "tuned" has the flag set for the
load. All are routed alike, one session after another, shortest first. ``--exact-only`` leaves all
other methods out.

A seed other than 0 makes fresh instances of the same kind, twice as many of set b. Limits are of
wall-clock time: on a busy machine the CPU seconds tell how much of it the method had.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version

from instances import (
    Instance,
    demanding_set,
    fresh_b,
    reference,
    relay_set,
    set_b,
    set_c,
    tight_set,
)

from swarmplan.core.errors import InfeasibleError, SwarmplanError, SwarmplanWarning
from swarmplan.perfmodel.predict import step_objective_s
from swarmplan.placement.api import Rule, Solution
from swarmplan.placement.exact.solve import solve_exact
from swarmplan.placement.milp.solve import solve_milp
from swarmplan.placement.rules.cg_bp import cg_bp
from swarmplan.placement.rules.petals import PetalsRule, PetalsTuned
from swarmplan.placement.search.solve import SEARCH_GAP, solve_search
from swarmplan.placement.sessions import task_of
from swarmplan.placement.task import Task
from swarmplan.routing.offline import best_routes
from swarmplan.solve.deadline import Deadline
from swarmplan.solve.process import release

#: Wall-clock limits in seconds where --limit is not given.
LIMIT_S = {
    "reference": 20,
    "b": 60,
    "c40": 120,
    "c200": 120,
    "c1000": 120,
    "tight": 180,
    "scarce": 120,
    "relay": 60,
    "demands": 60,
}
#: Gap at which a proof is good enough, and below which it counts as closed.
GAP, CLOSED = 1e-5, 1e-5


def instances(name: str, seed: int) -> Iterator[Instance]:
    """The instances of a set; a seed other than 0 makes fresh ones of the same kind."""
    if name == "reference":
        yield from (reference(seed + s, 3) for s in range(5))
        yield from (reference(seed, r) for r in (20, 41, 60))
        yield from (reference(seed, 3, clients) for clients in (6, 12))
    elif name == "b":
        yield from fresh_b(seed) if seed else set_b()
    elif name == "tight":
        yield from tight_set()
    elif name == "scarce":
        yield from tight_set(seed or 1000)
    elif name == "relay":
        yield from relay_set(seed or 1000)
    elif name == "demands":
        yield from demanding_set(seed or 1000)
    else:
        yield from set_c(int(name[1:]), seed or 500)


def solved(
    solve: Callable[[Task], Solution], task: Task, limit_s: float, gap: float
) -> tuple[str, str, str, float | None]:
    """Objective in ms per token and session, gap, how it was proven, and the gap as a number."""
    try:
        _, _, proof = solve(replace(task, deadline=Deadline.after(limit_s), gap=gap))
    except SwarmplanError as error:
        kind, said = type(error).__name__.removesuffix("Error"), str(error).partition(":")[0]
        return kind, "-", said, 0.0 if isinstance(error, InfeasibleError) else None
    reached = proof.objective
    assert reached.value is not None
    left = "-" if reached.gap is None else f"{100 * reached.gap:.4f} %"
    return f"{1e3 * reached.value / task.sessions:.2f}", left, proof.proof, reached.gap


def placed(rule: Rule, task: Task) -> str:
    """A placement's figure when its chains are planned one after another, shortest first."""
    try:
        routes, _ = best_routes(task.cost, rule(task), task.demand)
    except SwarmplanError as error:
        return type(error).__name__.removesuffix("Error")
    carried = sum(r.sessions for r in routes)
    if carried < task.sessions:
        return f"{task.sessions - carried} of {task.sessions} wait"
    return f"{1e3 * step_objective_s(task.cost, routes) / task.sessions:.2f}"


def cpu_s() -> float:
    """CPU seconds so far, of the process that solves integer programmes as well."""
    release()  # only what an ended process has used is known
    return sum(os.times()[:4])


def row(
    instance: Instance, limit_s: float, *, others: bool, milp: bool
) -> tuple[list[str], float | None]:
    """One row of the table, and the gap; 0 where it is proven that there is no plan."""
    task = task_of(instance.problem)
    began, wall = cpu_s(), time.monotonic()
    *exact, gap = solved(solve_exact, task, limit_s, GAP)
    wall_s = time.monotonic() - wall
    cells = [instance.name, *map(str, exact), f"{cpu_s() - began:.2f}", f"{wall_s:.1f}"]
    if others:
        cells.append(solved(solve_search, task, min(limit_s, 10.0), SEARCH_GAP)[0])
        petals = PetalsRule(rebalance=task.problem.num_servers <= 40, cache="left_over")
        cells += [placed(rule, task) for rule in (cg_bp, petals, PetalsTuned())]
    if milp:
        cells += solved(solve_milp, task, limit_s, 1e-4)[:2]
    return cells, gap


def summary(name: str, gaps: Sequence[float | None]) -> str:
    """What a set comes to: the worst gap, and how many are closed."""
    known = [gap for gap in gaps if gap is not None]
    closed = f"{sum(gap <= CLOSED for gap in known)} within {100 * CLOSED:g} %"
    worst = f"worst gap {100 * max(known, default=0.0):.4f} %"
    without = len(gaps) - len(known)
    tail = f", {without} without a plan" if without else ""
    return f"{name}: {len(gaps)} instances, {closed}, {worst}{tail}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=LIMIT_S, default=["reference", "b", "c40"])
    parser.add_argument("--limit", type=float, help="wall-clock seconds for each instance")
    parser.add_argument("--seed", type=int, default=0, help="other instances of the same kind")
    parser.add_argument("--only", nargs="+", help="names of instances")
    parser.add_argument("--exact-only", action="store_true", help="no other methods beside")
    parser.add_argument("--milp", action="store_true", help="the paper's programme on HiGHS too")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", SwarmplanWarning)
    print(f"HiGHS {version('highspy')}, seed {asked.seed}\n")
    head = ["instance", "exact, ms", "gap", "how", "CPU s", "wall s"]
    head += [] if asked.exact_only else ["search", "CG-BP", "PETALS", "tuned"]
    head += ["MILP", "MILP gap"] if asked.milp else []
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    told = []
    for name in asked.sets:
        gaps = []
        for instance in instances(name, asked.seed):
            if not asked.only or instance.name in asked.only:
                limit_s = asked.limit or LIMIT_S[name]
                cells, gap = row(instance, limit_s, others=not asked.exact_only, milp=asked.milp)
                gaps.append(gap)
                print("| " + " | ".join(cells) + " |", flush=True)
        told.append(summary(name, gaps))
    print("\n" + "\n".join(told))


if __name__ == "__main__":
    main()
