"""Programmes for the tests of the solver, and a look at the processes that solve them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from swarmplan.solve.programme import Builder, Programme


def cover(columns: int = 2000, rows: int = 4000, each: int = 200) -> Programme:
    """A set cover on which HiGHS' presolve alone takes seconds, and hears no limit meanwhile."""
    rng = np.random.default_rng(0)
    chosen = [np.sort(rng.choice(columns, each, replace=False)) for _ in range(rows)]
    return Programme(
        cost=rng.integers(1, 100, columns).astype(float),
        lower=np.zeros(columns),
        upper=np.ones(columns),
        integer=np.ones(columns, dtype=bool),
        row_lower=np.ones(rows),
        row_upper=np.full(rows, np.inf),
        starts=np.arange(0, rows * each + 1, each),
        columns=np.concatenate(chosen),
        values=np.ones(rows * each),
    )


def knapsacks(columns: int = 200, rows: int = 20) -> Programme:
    """Knapsacks that share their items: solutions come at once, the proof takes hours."""
    rng = np.random.default_rng(1)
    written = Builder()
    for _ in range(columns):
        written.variable(-float(rng.integers(50, 100)), upper=1.0, integer=True)
    for _ in range(rows):
        weight = rng.integers(50, 100, columns).astype(float)
        written.row(dict(enumerate(weight.tolist())), upper=weight.sum() / 2)
    return written.programme()


def small() -> Programme:
    """Least -5x - 4y - 3z: the optimum is -9 at x = y = 1, z = 0."""
    written = Builder()
    x, y, z = (written.variable(-c, upper=1.0, integer=True) for c in (5.0, 4.0, 3.0))
    written.row({x: 2.0, y: 3.0, z: 1.0}, upper=5.0)
    written.row({x: 4.0, y: 1.0, z: 2.0}, upper=11.0)
    written.row({x: 3.0, y: 4.0, z: 2.0}, upper=8.0)
    return written.programme()


def workers(parent: int) -> list[int]:
    """The processes that solve for a process, from Linux' own table; zombies count."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes()
        except OSError:  # gone meanwhile
            continue
        solves = b"swarmplan.solve.worker" in command or after_name[0] == "Z"
        if int(after_name[1]) == parent and solves:
            found.append(int(entry.name))
    return found


def alive(process: int) -> bool:
    """Whether a process runs; one that nobody has asked after since it ended does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(process: int, within_s: float) -> bool:
    """Whether a process ends in time."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not alive(process):
            return True
        time.sleep(0.02)
    return False


def script(code: str) -> subprocess.Popen[str]:
    """A Python process in a group of its own, to which signals can be sent as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
