"""The exact method beside search, CG-BP and PETALS on generated instances (docs/exact.md).

``python benchmarks/exact.py [--sets reference b c40 c200 c1000 tight] [--limit 60] [--milp]
[--only NAME ...]`` prints one row an instance: seconds per token of one session on average, the
proven gap, how it was proven, and the CPU seconds. A method that cannot serve all sessions at once
shows how many find no room. "PETALS" is its own rule with its default cache flag, and all memory
that is left as cache (PETALS itself would leave it unused); "tuned" has the flag set for the load.
All are routed alike, one session after another, shortest first.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

from instances import Instance, geographic, reference, set_b, set_c, tight_set

from swarmplan.core.errors import SwarmplanError, SwarmplanWarning
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
LIMIT_S = {"reference": 20, "b": 60, "c40": 120, "c200": 120, "c1000": 120, "tight": 180}


def instances(name: str, seed: int) -> Iterator[Instance]:
    """The instances of a set; a seed other than 0 shifts those of set B to fresh ones."""
    if name == "reference":
        yield from (reference(seed + s, 3) for s in range(5))
        yield from (reference(seed, r) for r in (20, 41, 60))
        yield from (reference(seed, 3, clients) for clients in (6, 12))
    elif name == "b" and seed:
        for s in range(20):
            sessions = (3, 5, 10, 20)[(s // 4) % 4]
            yield geographic(
                9 + s % 7, 1 + (s // 2) % 4, sessions, seed + s, "H" if s % 2 else "two"
            )
    elif name == "b":
        yield from set_b()
    elif name == "tight":
        yield from tight_set()
    else:
        yield from set_c(int(name[1:]))


def solved(
    solve: Callable[[Task], Solution], task: Task, limit_s: float, gap: float
) -> tuple[str, str, str]:
    """Objective in ms per token and session, gap, and how it was proven."""
    try:
        _, _, proof = solve(replace(task, deadline=Deadline.after(limit_s), gap=gap))
    except SwarmplanError as error:
        return type(error).__name__.removesuffix("Error"), "-", str(error).partition(":")[0]
    reached = proof.objective
    assert reached.value is not None
    left = "-" if reached.gap is None else f"{100 * reached.gap:.4f} %"
    return f"{1e3 * reached.value / task.sessions:.2f}", left, proof.proof


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


def row(instance: Instance, limit_s: float, *, milp: bool) -> list[str]:
    """One row of the table."""
    task = task_of(instance.problem)
    began, wall = cpu_s(), time.monotonic()
    exact = solved(solve_exact, task, limit_s, 1e-5)
    wall_s = time.monotonic() - wall
    spent = f"{cpu_s() - began:.2f}", f"{wall_s:.1f}"
    search = solved(solve_search, task, min(limit_s, 10.0), SEARCH_GAP)
    petals = PetalsRule(rebalance=task.problem.num_servers <= 40, cache="left_over")
    cells = [instance.name, *exact, *spent, search[0]]
    cells += [placed(rule, task) for rule in (cg_bp, petals, PetalsTuned())]
    return [*cells, *solved(solve_milp, task, limit_s, 1e-4)[:2]] if milp else cells


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=LIMIT_S, default=["reference", "b", "c40"])
    parser.add_argument("--limit", type=float, help="wall-clock seconds for each instance")
    parser.add_argument("--seed", type=int, default=0, help="other instances of the same kind")
    parser.add_argument("--only", nargs="+", help="names of instances")
    parser.add_argument("--milp", action="store_true", help="the paper's programme on HiGHS too")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", SwarmplanWarning)
    head = ["instance", "exact, ms", "gap", "how", "CPU s", "wall s", "search", "CG-BP", "PETALS"]
    head += ["tuned", *(["MILP", "MILP gap"] if asked.milp else [])]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for name in asked.sets:
        for instance in instances(name, asked.seed):
            if not asked.only or instance.name in asked.only:
                cells = row(instance, asked.limit or LIMIT_S[name], milp=asked.milp)
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
