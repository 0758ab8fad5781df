"""``auto`` against all that the product can make of its own parts, on requests that nobody knew.

    python benchmarks/auto.py --out-of-sample --file cells.jsonl

Rivals are the plans of every method, those of ``auto`` among them, each with every router that
fits the scenario, as ``swarmplan plan --method M --router R`` makes them. A cell is a scenario
(``varied.py``) at a share of the rate that ``swarmplan capacity`` finds for it. Plans are compared
by the mean response to the same fresh requests: all by a first short run, those that may be better
by more and more, until the paired 95 % interval of their gain lies wholly below 1 %, or is ±1 %, or
there were 40 seeds. ``auto`` loses a cell where such an interval lies wholly beyond 1 %.

Whatever is found is kept in ``--file``, one JSON line each: a run that was broken off goes on
there. ``--again`` plans by ``auto`` anew and keeps what is known of the others.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from varied import NAMES, varied

from swarmplan.core.errors import SwarmplanError, SwarmplanWarning
from swarmplan.core.objective import MEAN_RESPONSE
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.methods.capacity import capacity
from swarmplan.methods.draft import Settings
from swarmplan.methods.judge import Judge
from swarmplan.methods.routers import is_fitting, router_names
from swarmplan.methods.table import method_named, method_names
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.sessions import task_of
from swarmplan.simulator.metrics import Interval
from swarmplan.solve.deadline import Deadline
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load

LOADS = (0.5, 0.7, 0.85)
#: A gain that counts, and the half-width of the interval that tells it well enough.
BEYOND = FINE = 0.01
#: Requests of the first look, and how much worse a rival is out at once.
LOOK, HOPELESS = 150, 0.3
#: With fewer tests intervals say nothing yet: then a rival is out that is worse by so much over the
#: root of their number, but so many of the best stay.
FEW, WORSE, STAY = 4, 0.1, 2
#: Seeds of the requests; those of planning are others.
SEED = 500_000
#: Seconds in which the rate of load 1 is sought.
CAPACITY_S = 20.0


class Notebook:
    """What was found so far; the last line of a key counts."""

    def __init__(self, path: Path) -> None:
        self._path, self._known = path, dict[tuple[str, ...], Any]()
        for line in path.read_text().splitlines() if path.exists() else ():
            record = json.loads(line)
            self._known[tuple(record["key"])] = record["found"]

    def __getitem__(self, key: tuple[str, ...]) -> Any:
        """What is known of a key, None if nothing is."""
        return self._known.get(key)

    def __setitem__(self, key: tuple[str, ...], found: Any) -> None:
        self._known[key] = found
        with self._path.open("a") as file:
            file.write(json.dumps({"key": key, "found": found}) + "\n")


@dataclass(kw_only=True, eq=False)
class Rival:
    """A placement with a router and its figures by number of the seed (mutable: grows)."""

    name: str
    placement: Placement
    router: str
    figures: list[float] = field(default_factory=list)


class Tests:
    """Fresh requests of a cell, drawn when they are needed."""

    def __init__(self, problem: Problem, requests: int) -> None:
        self._problem, self._requests = problem, requests
        self._cost = CostModel.of(problem)
        self._judges: dict[int, Judge] = {}

    def figure_s(self, rival: Rival, number: int) -> float:
        """Mean response by the requests of a test, infinite where some were not served.

        Number 0 is the short first look.
        """
        while len(rival.figures) <= number:
            judge = self._judge(len(rival.figures))
            found = judge(rival.placement, rival.router)
            rival.figures.append(math.inf if found.unserved else found.figure_s)
        return rival.figures[number]

    def _judge(self, number: int) -> Judge:
        if number not in self._judges:
            count = self._requests if number else LOOK
            requests = draw_requests(self._problem, SEED + number, num_requests=count)
            self._judges[number] = Judge(
                self._cost, requests, admission="retry", goal=MEAN_RESPONSE
            )
        return self._judges[number]


def gain(rival_s: float, auto_s: float) -> float:
    """How much less time a rival takes, as a share; one that leaves requests takes for ever."""
    if math.isinf(rival_s):
        return -1.0
    return 1.0 if math.isinf(auto_s) else 1.0 - rival_s / auto_s


def may_lead(gains: list[float]) -> bool:
    """Whether a rival may lie beyond after so many tests."""
    found = Interval.of(gains)
    if len(gains) < FEW:
        return found.mean > -WORSE / math.sqrt(len(gains))
    return found.mean + found.half_width > BEYOND


def compared(
    auto: Rival, rivals: list[Rival], tests: Tests, most: int
) -> list[tuple[Rival, Interval, int]]:
    """Rivals that went on beyond the first look with their gains and tests, the best first."""
    look_s = tests.figure_s(auto, 0)
    racing = [r for r in rivals if gain(tests.figure_s(r, 0), look_s) > -HOPELESS]
    told: list[tuple[Rival, Interval, int]] = []
    number = 0
    while racing:
        number += 1
        found = []
        for rival in racing:
            gains = [
                gain(tests.figure_s(rival, i), tests.figure_s(auto, i))
                for i in range(1, number + 1)
            ]
            interval = Interval.of(gains)
            open_yet = number < FEW or (interval.half_width > FINE and number < most)
            found.append((rival, interval, open_yet and may_lead(gains)))
        found.sort(key=lambda f: -f[1].mean)
        going = [
            goes or (number < FEW and place < STAY) for place, (_, _, goes) in enumerate(found)
        ]
        racing = [f[0] for f, goes in zip(found, going, strict=True) if goes]
        told += [(*f[:2], number) for f, goes in zip(found, going, strict=True) if not goes]
    return sorted(told, key=lambda t: (t[2] < FEW, -t[1].mean))


class Cells:
    """All cells of a run."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given, self._notes = given, Notebook(given.file)

    def problem(self, name: str, load: float) -> Problem:
        """A scenario at a share of what it was found to sustain."""
        key = ("capacity", name)
        if self._notes[key] is None:
            problem = varied(name)
            task = task_of(problem, deadline=Deadline.after(CAPACITY_S))
            self._notes[key] = capacity(task).best.found_per_s
        problem = varied(name, burst=self._given.burst)
        return at_load(problem, load * self._notes[key] / problem.workload.rate_per_s)

    def row(self, name: str, load: float) -> dict[str, Any]:
        """What is found of a cell; known ones are not measured again."""
        given = self._given
        asked = (name, f"{load:g}", f"burst {given.burst:g}", f"requests {given.requests}")
        limits = (f"auto {given.time_limit:g} s", f"rivals {given.rivals_limit:g} s")
        key = ("cell", *asked, *limits)
        found: dict[str, Any] | None = self._notes[key]
        if found is None or given.again:
            found = self._measured(name, load, ("rivals", *asked, limits[1]))
            self._notes[key] = found
        return found

    def _measured(self, name: str, load: float, key: tuple[str, ...]) -> dict[str, Any]:
        problem = self.problem(name, load)
        tests = Tests(problem, self._given.requests)
        began = time.monotonic()
        draft = method_named("auto")(problem, Settings(time_limit_s=self._given.time_limit))
        took_s = time.monotonic() - began
        auto = Rival(name="auto", placement=draft.placement, router=draft.router)
        routers = [r for r in router_names() if is_fitting(r, problem)]
        others = list(self._others(problem, routers, key))
        own = [Rival(name=f"auto + {r}", placement=auto.placement, router=r) for r in routers]
        own = [r for r in own if r.router != auto.router]
        same = [r for r in others if (r.placement, r.router) == (auto.placement, auto.router)]
        rivals = [r for r in (*others, *own) if r not in same]
        told = compared(auto, rivals, tests, self._given.seeds)
        self._notes[key] = _written(problem, others)
        best, found, count = told[0] if told else (auto, Interval(mean=0.0, half_width=0.0), 0)
        beyond = [r.name for r, i, n in told if n >= FEW and i.mean - _half(i) > BEYOND]
        counted = auto.figures[1:]
        return {
            "scenario": name,
            "load": load,
            "rate": problem.workload.rate_per_s,
            "auto": f"{draft.candidates[0].placement if draft.candidates else '?'} + {auto.router}",
            "auto_s": sum(counted) / max(len(counted), 1),
            "took_s": took_s,
            "best": best.name,
            "gain": found.mean,
            "half": _half(found),
            "seeds": count,
            "beyond": beyond,
            "notes": list(draft.notes),
        }

    def _others(
        self, problem: Problem, routers: list[str], key: tuple[str, ...]
    ) -> Iterator[Rival]:
        """Every other method's plan with every router."""
        known = self._notes[key]
        if known is not None:
            for name, spans, cache, router, figures in known:
                yield Rival(
                    name=name,
                    placement=CostModel.of(problem).placed(spans, cache_bytes=cache),
                    router=router,
                    figures=[math.inf if f is None else f for f in figures],
                )
            return
        seen: set[tuple[bytes, str]] = set()
        for method in method_names():
            if method == "auto":
                continue
            try:
                made = method_named(method)(
                    problem, Settings(time_limit_s=self._given.rivals_limit)
                )
            except SwarmplanError:
                continue
            placement = made.placement
            content = b"".join(
                a.tobytes() for a in (placement.start, placement.end, placement.cache_bytes)
            )
            for router in routers:
                if (content, router) not in seen:
                    seen.add((content, router))
                    yield Rival(name=f"{method} + {router}", placement=placement, router=router)


def _half(found: Interval) -> float:
    return math.inf if math.isnan(found.half_width) else found.half_width


def _written(problem: Problem, rivals: list[Rival]) -> list[Any]:
    """Plans and figures of rivals as JSON keeps them."""
    return [
        [
            r.name,
            list(zip(r.placement.start.tolist(), r.placement.end.tolist(), strict=True)),
            r.placement.cache_bytes.tolist(),
            r.router,
            [None if math.isinf(f) else f for f in r.figures],
        ]
        for r in rivals
    ]


def main(words: list[str]) -> None:
    """Print a row for every cell, and how many of them nothing beats."""
    parser = argparse.ArgumentParser(
        prog="auto.py --out-of-sample", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--file", type=Path, required=True, help="what is found, line by line")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--scenarios", type=int, default=len(NAMES), help="the first so many")
    parser.add_argument("--loads", nargs="+", type=float, default=LOADS)
    parser.add_argument("--burst", type=float, default=1.0, help="spread of the gaps; 1 = Poisson")
    parser.add_argument("--time-limit", type=float, default=30.0)
    parser.add_argument("--rivals-limit", type=float, default=30.0)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args(words)
    warnings.simplefilter("ignore", SwarmplanWarning)
    cells = Cells(given)
    heads = ("scenario", "load", "requests/s", "auto is", "auto s", "best rival", "its gain")
    print("| " + " | ".join((*heads, "seeds", "verdict")) + " |\n" + "|---" * 9 + "|", flush=True)
    rows = []
    for name in NAMES[: given.scenarios]:
        for load in given.loads if name in given.only else ():
            rows.append(row := cells.row(name, load))
            verdict = f"beaten by {', '.join(row['beyond'])}" if row["beyond"] else "nothing beyond"
            print(
                f"| {name} | {load:.2f} | {row['rate']:.4g} | {row['auto']} | {row['auto_s']:.1f} "
                f"| {row['best']} | {row['gain'] * 100:+.1f} ± {row['half'] * 100:.1f} % "
                f"| {row['seeds']} | {verdict} |",
                flush=True,
            )
    fine = sum(not row["beyond"] for row in rows)
    print(f"\n{fine} of {len(rows)} cells: nothing wholly beyond 1 % better")
