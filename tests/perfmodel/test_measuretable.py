"""Tables that are written are the tables that are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swarmplan.perfmodel.measurements import Measurement, read_measurements
from swarmplan.perfmodel.measuretable import table_of

COMMON: dict[str, Any] = {
    "precision": "nf4",
    "style": "petals",
    "model": "Llama-3.1-8B",
    "gpu": "NVIDIA, H200",
}


def test_a_table_reads_back(tmp_path: Path) -> None:
    rows = (
        Measurement(phase="decode", tokens=1, batch=8, seconds=0.0015, **COMMON),
        Measurement(phase="prefill", tokens=128, batch=1, seconds=0.25, **COMMON),
        Measurement(phase="verify", tokens=9, new_tokens=4, batch=2, seconds=0.5, **COMMON),
        Measurement(phase="decode", tokens=0, batch=1, seconds=1.0),
    )
    path = tmp_path / "rows.csv"
    path.write_text(table_of(rows))
    assert read_measurements(path) == rows
    assert [m.rows for m in rows] == [8, 1, 8, 1]
