"""The published reference, case by case: its golden cases where they are at hand, small ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swarmplan.benchmarks.timetable import Timetable
from swarmplan.core.errors import RequestTooLargeError
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "benchmarks" / "parity.py"
CASES = ROOT.parent / "shared" / "data" / "golden" / "bprr"


def reproduce(folder: Path) -> tuple[int, list[str]]:
    """Exit code and lines of the program over the cases of a folder."""
    command = [sys.executable, str(PROGRAM), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, done.stdout.splitlines()


@pytest.mark.skipif(not CASES.is_dir(), reason=f"no golden cases in {CASES}")
def test_every_golden_case_of_the_reference_is_reproduced() -> None:
    code, lines = reproduce(CASES)
    assert code == 0, "\n".join(x for x in lines if x[:4] == "FAIL")
    assert lines[-1].endswith(" passed, 0 failed")


def one_server(**expected: Any) -> dict[str, Any]:
    """Three sessions at once on one server that holds the model and the cache of one of them.

    A token takes 40 + 2 * 5 ms, a session ten tokens.
    """
    given = {
        "L": 2,
        "sm": 1,
        "sc": 2,
        "d_model": 14336,
        "lc": 10,
        "n_client": 1,
        "n_request_client": 3,
        "R": 3,
        "tau": [5],
        "M": [7],
        "throughput": [100],
        "RTT": [[40]],
        "RTT_raw": [[0, 15], [15, 0]],
        "overhead_delay": 25,
    }
    return {"name": "one", "kind": "offline_tiny", "inputs": given, "expected": expected}


PETALS = {
    "order": [1],
    "a": [1],
    "m": [2],
    "routes_1based": [1, 1, 1],
    "start_ms": [0, 500, 1000],
    "end_ms": [500, 1000, 1500],
    "total_ms": 3000,
}


def test_sessions_that_find_no_room_start_as_soon_as_there_is_some(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(one_server(petals=[PETALS])))
    code, lines = reproduce(tmp_path)
    assert (code, lines[-1]) == (0, "1 passed, 0 failed"), lines
    assert "2 wait" in lines[0]


def test_a_figure_that_differs_fails(tmp_path: Path) -> None:
    for column in ("start_ms", "end_ms", "total_ms"):
        wrong = {**PETALS, column: [0, 0, 0] if column != "total_ms" else 3001}
        (tmp_path / "one.json").write_text(json.dumps(one_server(petals=[wrong])))
        code, lines = reproduce(tmp_path)
        assert (code, lines[-1]) == (1, "0 passed, 1 failed"), lines


def test_where_only_the_reference_fails_the_table_goes_on(tmp_path: Path) -> None:
    failed = {"error": "out of bound"}
    blocks = {name: failed for name in ("feasibility_check", "heuristic", "cg_bp_no_mig_cap")}
    document = one_server(**blocks, milp=failed, petals=[{"order": [1], **failed}])
    document["inputs"]["M"] = [14]
    (tmp_path / "one.json").write_text(json.dumps(document))
    code, lines = reproduce(tmp_path)
    assert (code, lines[-1]) == (0, "5 passed, 0 failed"), lines
    assert sum("reference fails; swarmplan: " in line for line in lines) == 5


def test_a_short_session_may_run_before_one_that_waits(tiny: Problem) -> None:
    spans = [(0, 3), (3, 6), (0, 0), (0, 0)]
    book = Timetable(CostModel.of(tiny).placed(spans, cache_bytes=[1, 2, 0, 0])).book
    assert book({0: 1}, 10.0) == 0.0
    assert book({0: 1, 1: 2}, 10.0) == 10.0
    assert book({1: 1}, 5.0) == 0.0
    assert book({1: 1}, 11.0) == 20.0
    with pytest.raises(RequestTooLargeError):
        book({1: 3}, 1.0)
