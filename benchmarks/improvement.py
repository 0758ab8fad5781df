"""``auto`` where servers work on one task at a time: against itself before that, and rival pairs.

    python benchmarks/improvement.py --load 0.7 --time-limit 120

Five scenarios as they were before servers had lines, at a share of the highest rate that
``swarmplan capacity`` finds to hold. Paired over fresh requests, all with the router ``overlap``:
the plan that ``auto`` made then for that very rate (``before/plans.json``), and the best pair that
exists without a search: CG-BP or PETALS' rule for one of twelve R, with ``overlap`` or any router
of theirs. That pair is chosen on the very requests of the test, so nobody could pick a better one.
"Best pair of then": the same without ``overlap``, which came with the lines.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from swarmplan.core.content import FloatArray
from swarmplan.core.errors import HeuristicFailedError, SwarmplanWarning
from swarmplan.core.objective import MEAN_RESPONSE
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.methods.candidates import SWEPT_SESSIONS
from swarmplan.methods.draft import Settings
from swarmplan.methods.judge import Judge
from swarmplan.methods.table import method_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import place_blocks
from swarmplan.placement.rules.petals import PetalsTuned
from swarmplan.placement.sessions import task_of
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.simulator.metrics import Interval
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load

BEFORE = Path(__file__).resolve().parent / "before"
SCENARIOS = ("demo", "cloud", "bellcanada", "abvt", "volunteers")
#: Requests per second that held for a placement of each, of ``swarmplan capacity``.
HIGHEST = {
    "demo": 0.129,
    "cloud": 0.4355,
    "bellcanada": 0.2176,
    "abvt": 0.1047,
    "volunteers": 1.032,
}
#: Other routers that the best placements are tried with, and how many of them.
ROUTERS, TRIED = ("ws-rr", "jffc", "fastest-free", "least-response"), 2
#: Tests by which the pairs of then are screened.
SCREENED = 2
#: From this load on more requests are needed.
BUSY = 0.85


def problem_at(name: str, load: float) -> Problem:
    """A scenario at a share of its highest rate."""
    problem = load_scenario(BEFORE / f"{name}.toml").problem
    return at_load(problem, load * HIGHEST[name] / problem.workload.rate_per_s)


def plan_before(problem: Problem, plan: dict[str, Any]) -> Placement:
    """The plan of then."""
    rows = [plan["spans"].get(s.id, (0, 0, 0)) for s in problem.servers]
    return CostModel.of(problem).placed(
        [(start, end) for start, end, _ in rows], cache_bytes=[cache for _, _, cache in rows]
    )


def existing(problem: Problem) -> list[Placement]:
    """CG-BP and PETALS' rule for every R."""
    made = []
    for sessions in SWEPT_SESSIONS:
        with suppress(HeuristicFailedError):
            made.append(place_blocks(CostModel.of(problem), sessions))
        with suppress(HeuristicFailedError):
            made.append(PetalsTuned()(task_of(problem, sessions=sessions)))
    return made


def judges_of(problem: Problem, count: int, seeds: Sequence[int]) -> list[Judge]:
    """Judges by fresh requests."""
    cost = CostModel.of(problem)
    return [
        Judge(
            cost,
            draw_requests(problem, seed, num_requests=count),
            admission="retry",
            goal=MEAN_RESPONSE,
        )
        for seed in seeds
    ]


def figures(judges: Sequence[Judge], placement: Placement, router: str) -> FloatArray:
    """Mean response on the requests of each judge; infinite where some were not served."""
    found = [judge(placement, router) for judge in judges]
    return np.array([np.inf if f.unserved else f.figure_s for f in found])


def best_pair(problem: Problem, judges: Sequence[Judge]) -> FloatArray:
    """Figures of the best existing pair."""
    placements = existing(problem)
    found = [figures(judges, placement, "overlap") for placement in placements]
    leaders = np.argsort([f.mean() for f in found])[:TRIED].tolist()
    found += [figures(judges, placements[i], router) for i in leaders for router in ROUTERS]
    return min(found, key=lambda f: float(f.mean()))


def best_pair_then(problem: Problem, judges: Sequence[Judge]) -> FloatArray:
    """Figures of the best pair with a router that existed then, which know no work in progress."""
    placements = existing(problem)
    pairs = [(placement, router) for placement in placements for router in ROUTERS]
    screened = [figures(judges[:SCREENED], *pair).mean() for pair in pairs]
    leaders = np.argsort(screened)[:TRIED].tolist()
    found = [figures(judges, *pairs[i]) for i in leaders]
    return min(found, key=lambda f: float(f.mean()))


def gain(ours: FloatArray, theirs: FloatArray) -> str:
    """How much lower, paired."""
    found = Interval.of((1.0 - ours / theirs).tolist())
    return f"{found.mean * 100:.1f} ± {found.half_width * 100:.1f} %"


def main() -> None:
    """Print a row for every scenario."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS)
    parser.add_argument("--load", type=float, default=0.7)
    parser.add_argument("--time-limit", type=float, default=120.0)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    warnings.simplefilter("ignore", SwarmplanWarning)
    then = json.loads((BEFORE / "plans.json").read_text())
    count = 2_000 if given.load >= BUSY else 400
    print(
        "| scenario | requests/s | auto then | best pair of then | best pair | auto | below then | "
        "below pair of then | below pair | took |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in given.scenarios:
        problem = problem_at(name, given.load)
        judges = judges_of(problem, count, range(100, 100 + given.seeds))
        old = figures(judges, plan_before(problem, then[name]), "overlap")
        pair, pair_then = best_pair(problem, judges), best_pair_then(problem, judges)
        began = time.monotonic()
        draft = method_named("auto")(problem, Settings(time_limit_s=given.time_limit))
        took = time.monotonic() - began
        new = figures(judges, draft.placement, draft.router)
        print(
            f"| {name} | {problem.workload.rate_per_s:.4f} | {old.mean():.1f} | "
            f"{pair_then.mean():.1f} | {pair.mean():.1f} | {new.mean():.1f} | {gain(new, old)} | "
            f"{gain(new, pair_then)} | {gain(new, pair)} | "
            f"{took:.0f} s |",
            flush=True,
        )
        print("".join(f"  {note}\n" for note in draft.notes), flush=True)


if __name__ == "__main__":
    main()
