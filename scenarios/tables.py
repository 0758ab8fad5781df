"""Tables as they are published: CSV, JSON Lines, a JSON document, Parquet; cells are text."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ScenarioError
from .packed import opened, starts_with

_DELIMITERS = ",;\t|"
#: What the benchmarks of vLLM and SGLang write, list by list, and what a trace calls them.
_RESULT = {"input_lens": "prompt_tokens", "output_lens": "output_tokens"}
_RESULT_HINTS = ("total_input_tokens", "request_throughput")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Names of the columns, the rows with the number of their line, and what should be said."""

    header: list[str]
    rows: Iterator[tuple[int, Sequence[str]]]
    notes: tuple[str, ...] = ()


@contextmanager
def table(path: Path, field: str) -> Iterator[Table]:
    """The table of a file that ``field`` refers to, row by row; blank lines are skipped.

    Raises
    ------
    ScenarioError
        If the file cannot be read as any of the forms above.
    MissingExtraError
        For a Parquet file without the package that reads it.
    """
    if starts_with(path, b"PAR1"):
        from .parquet import parquet_rows

        header, rows = parquet_rows(path, field)
        yield Table(header=header, rows=rows)
        return
    with opened(path, field) as lines:
        first = next((line for line in lines if line.strip()), "")
        rest = itertools.chain([first], lines)
        yield _json(rest, field) if first.lstrip()[:1] in ("{", "[") else _csv(first, rest, field)


def _csv(first: str, lines: Iterator[str], field: str) -> Table:
    """Values between the sign that the first line has most of."""
    reader = csv.reader(lines, delimiter=max(_DELIMITERS, key=first.count))

    def rows() -> Iterator[tuple[int, Sequence[str]]]:
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except csv.Error as error:
            raise ScenarioError.single(field, f"is not a CSV file: {error}") from error

    found = rows()
    _, header = next(found, (0, []))
    return Table(header=[name.strip() for name in header], rows=found)


def _json(lines: Iterator[str], field: str) -> Table:
    """JSON Lines, or one document: a list of objects, or a benchmark's result."""
    first = next(lines)
    try:
        record = _parsed(first)
    except ValueError:
        return _document(first + "".join(lines), field)
    if isinstance(record, list) or _is_result(record):
        second = next((line for line in lines if line.strip()), "")
        if second:
            message = "line 2: the first line is a document of its own: keep one of them"
            raise ScenarioError.single(field, message)
        return _document(first, field)
    if not isinstance(record, dict):
        raise ScenarioError.single(field, "line 1: is no JSON object")
    header = _names(record)

    def rows() -> Iterator[tuple[int, Sequence[str]]]:
        for number, line in enumerate(itertools.chain([first], lines), start=1):
            if line.strip():
                try:
                    yield number, _cells(_parsed(line), header)
                except (ValueError, RecursionError) as error:
                    message = f"line {number}: is no JSON object: {error}"
                    raise ScenarioError.single(field, message) from error

    return Table(header=header, rows=rows())


def _document(text: str, field: str) -> Table:
    """The rows of one JSON document."""
    try:
        document = _parsed(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError.single(field, f"is not JSON, nor JSON Lines: {error}") from error
    if isinstance(document, dict):
        return _result(document, field)
    if not (document and isinstance(document[0], dict)):
        raise ScenarioError.single(field, "is JSON, but no list of objects")
    header = _names(document[0])
    try:
        rows = [(number, _cells(row, header)) for number, row in enumerate(document, start=1)]
    except ValueError as error:
        raise ScenarioError.single(field, f"is JSON, but no list of objects: {error}") from error
    return Table(header=header, rows=iter(rows))


def _is_result(record: Any) -> bool:
    return isinstance(record, dict) and (
        any(isinstance(record.get(name), list) for name in _RESULT)
        or all(name in record for name in _RESULT_HINTS)
    )


def _result(document: dict[str, Any], field: str) -> Table:
    """The requests of a benchmark's result; without start times its request rate spaces them."""
    lists = [document.get(name) for name in _RESULT]
    if not _is_result(document):
        raise ScenarioError.single(field, f"is one JSON object, not one a line: {_shown(document)}")
    if not all(isinstance(values, list) and len(values) == len(lists[0] or ()) for values in lists):
        message = (
            f"is a benchmark's result without {' and '.join(_RESULT)} of every request: run it "
            "with --save-detailed"
        )
        raise ScenarioError.single(field, message)
    starts, count = document.get("start_times"), len(lists[0] or ())
    notes: tuple[str, ...] = ()
    if not isinstance(starts, list) or len(starts) != count:
        starts, notes = _spaced(document, count)
    cells = zip(starts, *lists, strict=True)
    rows = [(number, [_text(c) for c in row]) for number, row in enumerate(cells, start=1)]
    return Table(header=["arrival_s", *_RESULT.values()], rows=iter(rows), notes=notes)


def _spaced(document: dict[str, Any], count: int) -> tuple[list[str], tuple[str, ...]]:
    """Arrivals at the even pace of the rate that was asked for."""
    try:
        rate_per_s = float(document.get("request_rate", "inf"))
    except (TypeError, ValueError):
        rate_per_s = math.inf
    if not rate_per_s > 0:
        rate_per_s = math.inf
    pace = f"evenly at its {rate_per_s:g} requests/s" if math.isfinite(rate_per_s) else "all at 0 s"
    note = f"the result has no start_times: its requests arrive {pace}"
    return [repr(i / rate_per_s) for i in range(count)], (note,)


def _parsed(text: str) -> Any:
    """JSON with numbers as they are written, so that nothing is rounded before it is read."""
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)


def _names(record: dict[str, Any]) -> list[str]:
    """Columns of the first record; any record may name its client."""
    return list(dict.fromkeys([*record, "client"]))


def _cells(record: Any, header: Sequence[str]) -> list[str]:
    if not isinstance(record, dict):
        raise ValueError(f"{str(record)[:40]!r}")
    return [_text(record.get(name)) for name in header]


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, list | dict) else str(value)


def _shown(record: dict[str, Any]) -> str:
    return f"it has {', '.join(record)[:200]}"
