"""The life of the process that solves: started where needed, gone with whoever started it."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from swarmplan.solve.deadline import Deadline
from swarmplan.solve.mip import solve_programme
from swarmplan.solve.process import release
from swarmplan.tests.solve.programmes import gone, script, small, workers

SOLVE = """
import os, sys, time
from swarmplan.solve.deadline import Deadline
from swarmplan.solve.mip import solve_programme
from swarmplan.tests.solve.programmes import knapsacks, small, workers
"""


def ran(code: str) -> str:
    out, err = script(SOLVE + code).communicate(timeout=60)
    assert err == ""
    return out.strip()


def solve() -> None:
    found = solve_programme(small(), deadline=Deadline(), gap=0.0)
    assert found.bound == pytest.approx(-9.0)


def test_one_process_solves_all_in_turn_until_it_is_released() -> None:
    release()
    assert workers(os.getpid()) == []
    solve()
    first = workers(os.getpid())
    assert len(first) == 1
    solve()
    assert workers(os.getpid()) == first
    release()
    assert workers(os.getpid()) == []


def test_one_that_died_while_idle_is_replaced() -> None:
    solve()
    for process in workers(os.getpid()):
        os.kill(process, signal.SIGKILL)
    time.sleep(0.1)
    solve()
    assert len(workers(os.getpid())) == 1


def test_ctrl_c_while_it_is_idle_does_not_end_it() -> None:
    solve()
    (process,) = workers(os.getpid())
    os.kill(process, signal.SIGINT)
    solve()
    assert workers(os.getpid()) == [process]


def test_ctrl_c_while_it_starts_does_not_end_it() -> None:
    told = ran(
        "import signal, threading\n"
        "signal.signal(signal.SIGINT, lambda *_: print('heard'))\n"
        "threading.Timer(0.02, os.killpg, (0, signal.SIGINT)).start()\n"
        "print(solve_programme(small(), deadline=Deadline(), gap=0.0).state)"
    )
    assert told.splitlines() == ["heard", "optimal"]


def test_nothing_is_left_after_the_end_of_a_script() -> None:
    told = ran(
        "solve_programme(small(), deadline=Deadline(), gap=0.0)\nprint(*workers(os.getpid()))"
    )
    assert gone(int(told), within_s=1.0)


@pytest.mark.parametrize("task", ["knapsacks()", "small()"])
def test_it_ends_at_once_when_its_parent_is_killed_busy_or_idle(task: str) -> None:
    process = left_alone(f"solve_programme({task}, deadline=Deadline(), gap=0.0)")
    assert gone(process, within_s=0.7)


def test_it_ends_soon_when_a_copy_of_its_parent_lives_on_and_holds_the_pipes() -> None:
    process = left_alone(
        "import threading\n"
        "task = {'deadline': Deadline(), 'gap': 0.0}\n"
        "threading.Thread(target=solve_programme, args=(knapsacks(),), kwargs=task).start()\n"
        "time.sleep(0.2)\n"
        "os.fork()"
    )
    assert gone(process, within_s=3.0)


def left_alone(code: str) -> int:
    """The process that solved for a script, which was killed while or after it ran ``code``."""
    parent = script(
        SOLVE
        + "solve_programme(small(), deadline=Deadline(), gap=0.0)\n"
        + "print(*workers(os.getpid()), flush=True)\n"
        + f"{code}\n"
        + "time.sleep(5)"
    )
    assert parent.stdout is not None
    assert parent.stderr is not None
    with parent.stdout, parent.stderr:
        process = int(parent.stdout.readline())
        time.sleep(0.6)
        parent.kill()
        parent.wait()
    return process


def test_a_script_without_a_main_guard_is_not_run_twice(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SOLVE + "print('once')\nsolve_programme(small(), deadline=Deadline(), gap=0.0)")
    code = f"import subprocess, sys; subprocess.run([sys.executable, {str(path)!r}], check=True)"
    assert ran(code) == "once"


def test_a_forked_copy_solves_with_a_process_of_its_own() -> None:
    told = ran(
        "def solved(): return solve_programme(small(), deadline=Deadline(), gap=0.0).bound\n"
        "solved()\n"
        "if not (child := os.fork()):\n"
        "    print(round(solved()), len(workers(os.getpid())), flush=True)\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)\n"
        "print(round(solved()), len(workers(os.getpid())))"
    )
    assert told.splitlines() == ["-9 1", "-9 1"]


def test_processes_of_joblib_solve(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        SOLVE + "def solved(_): return solve_programme(small(), deadline=Deadline(), gap=0.0).bound"
    )
    told = ran(
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from joblib import Parallel, delayed\n"
        "from mine import solved\n"
        "print(*map(round, Parallel(n_jobs=2)(delayed(solved)(i) for i in range(4))))"
    )
    assert told == "-9 -9 -9 -9"


def test_files_of_the_current_folder_do_not_get_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("queue", "numpy", "highspy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    release()
    solve()
