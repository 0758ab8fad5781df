"""The planner's process seen from outside: what becomes of a job whose process dies."""

from __future__ import annotations

import queue
import subprocess
from pathlib import Path

import pytest

from swarmplan.scenarios.scenario import load_scenario
from swarmplan.studio.worker import Told, Worker

TINY = Path(__file__).resolve().parents[2] / "scenarios" / "tiny.toml"
PATIENCE_S = 120.0


def ended(told: queue.Queue[Told], number: int) -> str:
    """How a job ended."""
    while True:
        found = told.get(timeout=PATIENCE_S)
        if found.number == number and found.what not in ("found", "progress"):
            return found.what


def test_a_job_for_a_process_that_died_unnoticed_is_done_by_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: queue.Queue[Told] = queue.Queue()
    worker = Worker(told.put)
    scenario = load_scenario(TINY)
    assert ended(told, worker.ask("judge", scenario, None, False)) == "done"
    worker.kill()
    # Its end of the pipe is closed a moment before the system calls it dead.
    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "poll", lambda _self: None)
        number = worker.ask("judge", scenario, None, False)
    assert ended(told, number) == "done"
    worker.close()


def test_whoever_waits_is_told_when_the_process_dies() -> None:
    told: queue.Queue[Told] = queue.Queue()
    worker = Worker(told.put)
    number = worker.ask("improve", load_scenario(TINY), None, 1.0)
    worker.kill()
    assert ended(told, number) == "died"
    worker.close()
