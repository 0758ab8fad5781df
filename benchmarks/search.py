"""The search beside CG-BP, PETALS' rule and the order-free bound: one row per instance.

``python benchmarks/search.py [SET ...] [--seconds S]``; sets: reference, b, tight, 40, 200, 1000.
``--steps N`` ends each search after so many steps instead: its CPU seconds are those of the same
work. Figures are ms per output token, averaged over the sessions. CG-BP and PETALS are routed over
their own spans by the search's insertion; "-" = some session finds no room on that placement.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from instances import Instance, reference, set_b, set_c, tight_set

from swarmplan.chains.floor import cheapest_chains_s
from swarmplan.core.errors import HeuristicFailedError, SwarmplanWarning
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.placement.rules.cg_bp import cg_bp
from swarmplan.placement.rules.petals import PetalsRule
from swarmplan.placement.search.moves import Manner, repair
from swarmplan.placement.search.solve import SEARCH_GAP, solve_search
from swarmplan.placement.search.state import Instance as Offline
from swarmplan.placement.search.state import State
from swarmplan.placement.sessions import task_of
from swarmplan.placement.task import Task
from swarmplan.solve.deadline import NEVER, Deadline


def references() -> Iterator[Instance]:
    """The published instance: five seeds, many sessions, several clients."""
    yield from (reference(seed, 3) for seed in range(5))
    yield from (reference(0, sessions) for sessions in (20, 41, 60))
    yield from (reference(0, 3, clients) for clients in (6, 12))


SETS: dict[str, Callable[[], Iterator[Instance]]] = {
    "reference": references,
    "b": set_b,
    "tight": tight_set,
    "40": lambda: set_c(40),
    "200": lambda: set_c(200),
    "1000": lambda: set_c(1000),
}


def on_spans(task: Task, rule: Callable[[Task], Placement]) -> str:
    """ms per token of all sessions routed over a rule's placement as it stands."""
    try:
        placement = rule(task)
    except HeuristicFailedError:
        return "-"
    alone = cheapest_chains_s(task.cost, task.demand)
    offline = Offline.of(task.cost, task.demand, alone)
    state = State(offline)
    state.end[:], state.blocks[:] = placement.end, placement.num_blocks
    repair(state, Manner(whole=False, fixed=True), np.random.default_rng(0))
    return "-" if state.pending else per_token(task.problem, state.cost_s)


def per_token(problem: Problem, total_s: float) -> str:
    """ms per output token and session."""
    return f"{total_s * 1e3 / (problem.planning.sessions or 1):.2f}"


def row(instance: Instance, seconds: float, steps: int | None) -> str:
    """One line of the table."""
    problem = instance.problem
    task = task_of(problem, gap=SEARCH_GAP)
    greedy = on_spans(task, cg_bp)
    petals = on_spans(task, PetalsRule(rebalance=problem.num_servers <= 40, cache="left_over"))
    begin = time.process_time()
    try:
        until = NEVER if steps else Deadline.after(seconds)
        *_, proof = solve_search(replace(task, deadline=until), max_steps=steps)
    except HeuristicFailedError:
        return f"| {instance.name} | {petals} | {greedy} | none found | | | |"
    spent = time.process_time() - begin
    reached = proof.objective
    assert reached.value is not None
    assert reached.bound is not None
    figures = (per_token(problem, reached.value), per_token(problem, reached.bound))
    gap = 0.0 if proof.status == "optimal" else 100 * (proof.gap or 0.0)
    return (
        f"| {instance.name} | {petals} | {greedy} | {figures[0]} | {figures[1]} | {gap:.3f} | "
        f"{spent:.2f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=["reference", "b", "40"])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    warnings.simplefilter("ignore", SwarmplanWarning)
    print("| instance | PETALS | CG-BP | search | LB0 | gap % | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for name in given.sets:
        for instance in SETS[name]():
            print(row(instance, given.seconds, given.steps), flush=True)


if __name__ == "__main__":
    main()
