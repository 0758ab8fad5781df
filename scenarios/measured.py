"""Measured round-trip times: a matrix in the file, a CSV, a table between regions."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.content import FloatArray
from ..core.errors import InputProblem, ScenarioError
from . import schema
from .files import decode, read_referenced

_MAX_MS = 1e7


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A client or server: its field in the file, its own id, and what the file says."""

    where: str
    id: str
    given: schema.Client | schema.Server


def measured_rtt_s(
    given: schema.Network, ends: Sequence[End], base_dir: Path, referenced: list[bytes]
) -> FloatArray:
    """(N, N) seconds, row = from; nan where nothing was measured.

    Pairs first, then the other direction of the pair, then the table between regions.
    ``referenced`` receives the bytes of the CSV.

    Raises
    ------
    ScenarioError
        If no measurement is given, or one is not a time.
    """
    if given.rtt_ms is None and given.rtt_csv is None and given.region_rtt_ms is None:
        raise ScenarioError.single(
            "network.delay", "measured needs rtt_ms, rtt_csv or region_rtt_ms"
        )
    if given.rtt_ms is not None and given.rtt_csv is not None:
        raise ScenarioError.single("network.rtt_csv", "give rtt_ms or rtt_csv, not both")
    rtt = np.full((len(ends), len(ends)), np.nan)
    if given.rtt_ms is not None:
        rtt = _matrix(given.rtt_ms, len(ends))
    elif given.rtt_csv is not None:
        content = read_referenced(base_dir / given.rtt_csv, "network.rtt_csv")
        referenced.append(content)
        rtt = _from_csv(decode(content, Path(given.rtt_csv), "network.rtt_csv"), ends)
    rtt = np.where(np.isnan(rtt), rtt.T, rtt)
    if given.region_rtt_ms is not None:
        rtt = np.where(np.isnan(rtt), _by_region(given.region_rtt_ms, ends), rtt)
    return rtt


def _matrix(rows: list[list[float]], n: int) -> FloatArray:
    if len(rows) != n or any(len(r) != n for r in rows):
        raise ScenarioError.single(
            "network.rtt_ms",
            f"must be {n} x {n}: the clients, then the servers (count unrolled), in file order",
        )
    return np.array(rows, dtype=np.float64) / 1e3


def _from_csv(text: str, ends: Sequence[End]) -> FloatArray:
    """A table with ids in the first row and column, ms, empty = not measured.

    The servers of one ``count`` may share the row and column of their common id.
    """
    try:
        table = [row for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error as error:
        raise ScenarioError.single("network.rtt_csv", f"is not a CSV file: {error}") from error
    columns = {name.strip(): i for i, name in enumerate(table[0]) if i} if table else {}
    lines = {row[0].strip(): i for i, row in enumerate(table) if i}
    _check_names(ends, columns, lines)
    down = [lines.get(e.id, lines.get(e.given.id)) for e in ends]
    across = [columns.get(e.id, columns.get(e.given.id)) for e in ends]
    rtt = np.full((len(ends), len(ends)), np.nan)
    wrong: list[InputProblem] = []
    for i, line in enumerate(down):
        row = table[line] if line is not None else []
        for j, column in enumerate(across):
            if column is None or column >= len(row) or not row[column].strip():
                continue
            if ends[i].given is ends[j].given and line == down[j]:
                continue  # the diagonal, or two of one count in one row
            value = _ms(row[column])
            if value is None:
                text = f"row {row[0]!r}, column {table[0][column]!r}: {row[column]!r} is no time"
                wrong.append(InputProblem("network.rtt_csv", text))
            else:
                rtt[i, j] = value / 1e3
    if wrong:
        raise ScenarioError(list(dict.fromkeys(wrong))[:50])
    return rtt


def _check_names(ends: Sequence[End], columns: dict[str, int], lines: dict[str, int]) -> None:
    """A table that names nothing of this scenario is the wrong table."""
    known = {e.id for e in ends} | {e.given.id for e in ends}
    if not known & columns.keys() or not known & lines.keys():
        raise ScenarioError.single(
            "network.rtt_csv", "names no client or server in its first row or in its first column"
        )
    clients = {e.id for e in ends if isinstance(e.given, schema.Client)}
    both = sorted(clients & {e.id for e in ends if isinstance(e.given, schema.Server)})
    if both:
        raise ScenarioError.single(
            "network.rtt_csv", f"cannot tell the client and the server {both[0]!r}: rename one"
        )


def _ms(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= _MAX_MS else None


def _by_region(table: dict[str, dict[str, float]], ends: Sequence[End]) -> FloatArray:
    """(N, N) seconds between the regions of both ends, either direction of the table."""
    regions = sorted({e.given.region for e in ends})
    known = set(table) | {name for row in table.values() for name in row}
    wrong = sorted(known - set(regions))
    if wrong:
        message = f"no client or server is in region {wrong[0]!r}"
        raise ScenarioError.single(f"network.region_rtt_ms.{wrong[0]}", message)
    between = np.array(
        [
            [table.get(a, {}).get(b, table.get(b, {}).get(a, np.nan)) for b in regions]
            for a in regions
        ]
    )
    rows = np.array([regions.index(e.given.region) for e in ends])
    rtt: FloatArray = between[np.ix_(rows, rows)] / 1e3
    return rtt
