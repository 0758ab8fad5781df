"""Nothing of HiGHS reaches standard output or standard error, of Python or of the process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmplan.benchmarks.instances import reference
from swarmplan.core.needs import Need
from swarmplan.placement.exact.solve import solve_exact
from swarmplan.placement.milp.solve import solve_milp
from swarmplan.placement.moves.cover import cover
from swarmplan.placement.sessions import task_of
from swarmplan.solve.deadline import Deadline
from swarmplan.tests.placement.offline import offline
from swarmplan.tests.solve.programmes import gone, script, workers
from swarmplan.tests.studies.test_size import market

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


def command(*args: object) -> Any:
    """The one document that a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "swarmplan.cli", *map(str, args), "--json", "--quiet"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "HiGHS" not in done.stderr
    return json.loads(done.stdout)


def test_plan_with_the_programme_prints_one_document() -> None:
    plan = command("plan", SCENARIOS / "tiny.toml", "--method", "milp", "--time-limit", 10)
    assert plan["certificate"]["status"] == "optimal"


def test_plan_with_the_exact_method_prints_one_document(tmp_path: Path) -> None:
    path = reference(0, 20).write(tmp_path)
    plan = command("plan", path, "--method", "exact", "--time-limit", 10)
    assert "bag column generation" in plan["certificate"]["proof"]


def test_size_prints_one_document(tmp_path: Path) -> None:
    market(tmp_path)
    options = ("--scratch", "--target", "p95_response_s=8", "--requests", 40)
    files = (tmp_path / "scenario.toml", "--catalogue", tmp_path / "catalogue.toml")
    found = command("size", *files, *options)
    assert found["lower_bound"] <= found["best"]["count"]


def test_ctrl_c_prints_the_best_plan_and_leaves_nothing_running(tmp_path: Path) -> None:
    path = reference(0, 3, 12).write(tmp_path)
    args = ["plan", str(path), "--method", "exact", "--time-limit", "60", "--json", "--quiet"]
    planning = script(f"from swarmplan.cli import main; main({args!r})")
    time.sleep(5.0)
    began, process = time.monotonic(), workers(planning.pid)
    os.killpg(planning.pid, signal.SIGINT)
    out, err = planning.communicate(timeout=60)
    assert time.monotonic() - began < 3.0
    assert planning.returncode == 130
    assert json.loads(out)["certificate"]["interrupted"]
    assert err.strip() == "interrupted: this is the best plan until then"
    assert all(gone(number, within_s=1.0) for number in process)


def test_no_solver_writes_to_the_process_own_output(capfd: pytest.CaptureFixture[str]) -> None:
    solve_exact(task_of(reference(0, 12, 3).problem, deadline=Deadline.after(3.0)))
    small = offline(blocks=4, tau_ms=[8, 2], memory=[4, 4], cache=0.2, hop_ms=[[109, 91]], each=2)
    solve_milp(task_of(small))
    need = Need(what="once", count=1, group=np.array([0, 1]))
    assert cover([[(0, 2)], [(0, 2), (1, 3)]], [need], 3, time_limit_s=10) is not None
    assert capfd.readouterr() == ("", "")
