"""How well block times are known, by the benchmark that prints it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("block_times", BENCHMARKS / "block_times.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(BENCHMARKS))


def errors(script: Any, rows: list[Any], phase: str) -> list[float]:
    return [abs(script.error(row)) for row in rows if row[0].phase == phase]


def test_measured_blocks_are_met_and_models_left_out_are_told(
    script: Any, shared_data: Path
) -> None:
    rows = script.rows_of(shared_data / "gpu")
    assert len(rows) == 116
    kernels = script.own_kernels(shared_data / "gpu")
    fitted = script.fitted(rows, kernels)
    for phase in ("decode", "prefill"):
        assert np.median(errors(script, fitted, phase)) <= 10
        assert max(errors(script, fitted, phase)) <= 40
    assert np.median(errors(script, script.left_out(rows), "decode")) <= 20
    assert np.median(errors(script, script.before(rows), "decode")) > 70


def test_half_of_the_rows_tell_the_other_half(script: Any, shared_data: Path) -> None:
    rows = script.rows_of(shared_data / "gpu")
    kernels = script.own_kernels(shared_data / "gpu")
    for gpu in ("H100-SXM", "H200"):
        for half in script.halves(rows, kernels, gpu):
            assert np.median([abs(script.error(row)) for row in half]) <= 12


def test_without_the_data_it_says_so(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.main(tmp_path, each=False)
    assert f"skipped: {tmp_path} has no own_h100.csv" in capsys.readouterr().out.replace("\n", "")
