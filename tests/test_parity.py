"""The published reference, case by case, where its golden cases are at hand."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT.parent / "shared" / "data" / "golden" / "bprr"


@pytest.mark.skipif(not CASES.is_dir(), reason=f"no golden cases in {CASES}")
def test_every_golden_case_of_the_reference_is_reproduced() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "parity.py"), str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = done.stdout.splitlines()[-1]
    assert done.returncode == 0, "\n".join(x for x in done.stdout.splitlines() if x[:4] == "FAIL")
    assert last.endswith(" passed, 0 failed")
