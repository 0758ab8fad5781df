"""Time and memory of every method as swarms grow: ``python benchmarks/growth.py``.

Generated swarms (``swarmplan scenario new``: five kinds of GPU around twelve cities, each
machine at a place of its own), BLOOM-176B. Every cell is a process of its own that loads the
scenario and makes the plan: CPU seconds of both, solvers included, and the most memory that it ever
had. An exponent p says that it grows as ``servers ** p`` between the two sizes beside it; those of
methods that work until their time limit say little of time. A method that makes no plan says why.

    python benchmarks/growth.py --servers 100 1000 --methods cg-bp auto --clients 100

``--quality`` tells instead what the plan of a method (``auto``) is worth: its mean response beside
that of CG-BP with WS-RR in simulation of the same requests, and the bound that no plan passes.

    python benchmarks/growth.py --quality --servers 10000
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from itertools import pairwise

from swarms import swarm

from swarmplan import api
from swarmplan.core.errors import SwarmplanError, SwarmplanWarning
from swarmplan.methods.draft import Settings
from swarmplan.methods.table import METHODS
from swarmplan.simulator.metrics import WARM_UP, summarise
from swarmplan.solve.process import release

#: The file gives no spans, so the method that follows them has nothing to do.
LEFT_OUT = ("manual",)
#: Nobody waits longer for one cell, seconds.
PATIENCE_S = 300.0
#: Requests of a simulation that tells what a plan is worth, and draws of them, which ``auto`` has
#: not seen.
QUALITY_REQUESTS, QUALITY_SEEDS = 1_500, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One method at one size.

    Attributes
    ----------
    said : the mean response or time per token and its proven gap, or why there is no plan.
    """

    seconds: float
    mebibytes: float
    said: str

    @property
    def text(self) -> str:
        """As it stands in the table."""
        return f"{self.seconds:.1f} s, {self.mebibytes:.0f} MiB"


def measured(method: str, servers: int, clients: int, limit_s: float) -> Cell:
    """A method at a size, in this process."""
    warnings.simplefilter("ignore", SwarmplanWarning)
    problem = swarm(servers, clients=clients)
    try:
        made = api.plan(problem, method, settings=Settings(time_limit_s=limit_s))
    except SwarmplanError as error:
        said = f"{type(error).__name__}: {str(error)[:80]}"
    else:
        reached = made.certificate.objective
        gap = "no bound" if reached.gap is None else f"gap {100 * reached.gap:.2f} %"
        value = math.nan if reached.value is None else reached.value
        said = f"{value:.4g} {reached.goal.unit}, {gap}"
    release()  # only what an ended process has used is known
    seconds = sum(os.times()[:4])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cell(seconds=seconds, mebibytes=peak, said=said)


def quality(method: str, servers: int, clients: int, limit_s: float) -> str:
    """A line on a plan by simulated response, beside CG-BP with the router that it is for."""
    warnings.simplefilter("ignore", SwarmplanWarning)
    problem = swarm(servers, clients=clients)
    began = sum(os.times()[:4]), time.monotonic()
    made = api.plan(problem, method, settings=Settings(time_limit_s=limit_s))
    release()
    took_s, wall_s = sum(os.times()[:4]) - began[0], time.monotonic() - began[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    reached = made.certificate.objective
    plain = api.plan(problem, "cg-bp")
    requests, seeds = QUALITY_REQUESTS, range(QUALITY_SEEDS)
    mine, theirs = (
        [
            summarise(api.simulate(problem, plan, seed=s, requests=requests), warm_up=WARM_UP)
            for s in seeds
        ]
        for plan in (made, plain)
    )
    each = [(a.response_s.mean, b.response_s.mean) for a, b in zip(mine, theirs, strict=True)]
    gains = [100 * (1 - a / b) for a, b in each]
    own, other = (sum(column) / len(each) for column in zip(*each, strict=True))
    bound = "none" if reached.bound is None else f"{reached.bound:.4g} s"
    return (
        f"{servers:,} servers, {method}: {took_s:.1f} s CPU, {wall_s:.1f} s wall, {peak:.0f} MiB; "
        f"{len(each)} runs of {requests} requests: mean response {own:.4g} s, cg-bp + ws-rr "
        f"{other:.4g} s, {min(gains):.1f} to {max(gains):.1f} % less; bound {bound}"
    )


def apart(method: str, servers: int, clients: int, limit_s: float) -> Cell:
    """The same in a process of its own, which is ended when it takes too long."""
    words = ["--one", method, str(servers), "--clients", str(clients), "--limit", str(limit_s)]
    child = subprocess.Popen(
        [sys.executable, __file__, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, errors = child.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return Cell(seconds=math.nan, mebibytes=math.nan, said=f"not within {PATIENCE_S:g} s")
    if child.returncode:
        last = (errors.strip().splitlines() or [f"exit {child.returncode}"])[-1]
        return Cell(seconds=math.nan, mebibytes=math.nan, said=last[:100])
    return Cell(**json.loads(out))


def exponent(less: float, more: float, sizes: tuple[int, int]) -> str:
    """How fast a figure grows between two sizes."""
    if not (less > 0 and more > 0):
        return "-"
    return f"{math.log(more / less) / math.log(sizes[1] / sizes[0]):.2f}"


def row(method: str, cells: list[Cell], servers: list[int]) -> list[str]:
    """A method's line of the table."""
    found = [method]
    for cell in cells:
        found += [cell.text if cell.seconds == cell.seconds else "-", cell.said]
    grows = [
        f"{exponent(a.seconds, b.seconds, sizes)}, {exponent(a.mebibytes, b.mebibytes, sizes)}"
        for (a, b), sizes in zip(pairwise(cells), pairwise(servers), strict=True)
    ]
    return [*found, *grows]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--methods", nargs="+", default=[m for m in METHODS if m not in LEFT_OUT])
    parser.add_argument("--limit", type=float, default=30.0, help="time limit of a plan, seconds")
    parser.add_argument("--quality", action="store_true", help="simulated, beside CG-BP's plan")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.quality:
        for servers in asked.servers:
            print(quality("auto", servers, asked.clients, asked.limit), flush=True)
        return
    if asked.one:
        cell = measured(asked.one[0], int(asked.one[1]), asked.clients, asked.limit)
        print(json.dumps({n: getattr(cell, n) for n in Cell.__slots__}))
        return
    head = ["method", *(text for n in asked.servers for text in (f"{n:,} servers", "plan"))]
    head += [f"exponents {a:,} to {b:,}" for a, b in pairwise(asked.servers)]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)
    for method in asked.methods:
        cells = [apart(method, n, asked.clients, asked.limit) for n in asked.servers]
        print("| " + " | ".join(row(method, cells, asked.servers)) + " |", flush=True)


if __name__ == "__main__":
    main()
