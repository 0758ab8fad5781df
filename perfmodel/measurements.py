"""Reading measurements: the CSV table of blocks and hops, and PETALS' throughput file."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.errors import CalibrationError
from .catalogue import BYTES_PER_VALUE

Phase = Literal["prefill", "decode", "verify"]
#: Without the columns prompt_tokens and new_tokens there is no prefill, without context_tokens no
#: decode; where there are several runs of a row, ``min_ms_per_block`` is the least of them.
COLUMNS = ("phase", "ms_per_block")
#: Phases of larger tables that tell nothing about one block in a server.
PASSED_OVER = ("attention_only", "span", "span_host")
_MOST_PROBLEMS = 20
_LARGEST_COUNT = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measured step of one block.

    Attributes
    ----------
    tokens : prompt (prefill) or context (decode, verify).
    new_tokens : new tokens of each sequence in a step; 1 = decode.
    precision, style, model, gpu : what was measured, "" = not said. style: how attention runs
        (``petals``: eagerly, as PETALS does).
    """

    phase: Phase
    tokens: int
    batch: int
    seconds: float
    new_tokens: int = 1
    precision: str = ""
    style: str = ""
    model: str = ""
    gpu: str = ""

    @property
    def rows(self) -> int:
        """Rows of a step."""
        return self.batch * self.new_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class HopMeasurement:
    """A chain of one hop, measured by clients.

    Attributes
    ----------
    what : ``step`` = time per token while ``clients`` step at once, ``first`` = time to the first
        token of a client alone.
    tokens : context of the steps (prompt and tokens so far), or the prompt.
    blocks : run at the server.
    tasks : tasks that the server made of the prompt: 1, or ``blocks``.
    precision, model, gpu : of the blocks, "" = those of the file.
    """

    what: Literal["step", "first"]
    tokens: int
    clients: int
    blocks: int
    tasks: int
    rtt_s: float
    seconds: float
    precision: str = ""
    model: str = ""
    gpu: str = ""


Row = Measurement | HopMeasurement


def of_blocks(rows: Iterable[Row]) -> list[Measurement]:
    """The rows that tell what a block takes."""
    return [row for row in rows if isinstance(row, Measurement)]


def of_hops(rows: Iterable[Row]) -> list[HopMeasurement]:
    """The rows that tell what clients saw."""
    return [row for row in rows if isinstance(row, HopMeasurement)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PetalsRates:
    """One entry of PETALS' throughput file, tokens/s (forward and inference per block)."""

    key: str
    forward_rps: float
    inference_rps: float
    network_rps: float | None


class _CellError(ValueError):
    """A cell that cannot be used: column and reason."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"{column}: {reason}")


def read_text(path: Path) -> str:
    """Content of a UTF-8 file.

    Raises
    ------
    CalibrationError
        If it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"cannot read {path}: {error}") from error


def read_measurements(path: Path) -> tuple[Row, ...]:
    """All rows of the table.

    Raises
    ------
    CalibrationError
        Naming ``file:line:column`` of every malformed cell, up to 20.
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    problems: list[str] = []
    found: list[Row] = []
    try:
        header = [cell.strip() for cell in next(rows, [])]
        if absent := [column for column in COLUMNS if column not in header]:
            raise CalibrationError(
                f"{path.name}:1: missing column {', '.join(absent)}; need {','.join(COLUMNS)}"
            )
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            row = {column: cell.strip() for column, cell in zip(header, cells, strict=False)}
            try:
                measured = _measurement(row)
                if measured is not None:
                    found.append(measured)
            except _CellError as error:
                problems.append(f"{path.name}:{rows.line_num}:{error}")
    except csv.Error as error:
        problems.append(f"{path.name}:{rows.line_num}: {error}")
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        tail = [f"and {more} more"] if more > 0 else []
        raise CalibrationError("\n".join(problems[:_MOST_PROBLEMS] + tail))
    return tuple(found)


def _measurement(row: Mapping[str, str]) -> Row | None:
    """The measurement of a row, None where it is of another kind."""
    phase = row.get("phase", "")
    if phase in PASSED_OVER:
        return None
    said: dict[str, Any] = {name: row.get(name, "") for name in ("model", "gpu")}
    said["precision"] = _precision(row)
    if phase in ("step", "first"):
        return _hop_measurement(row, "step" if phase == "step" else "first", said)
    common = said | {
        "style": row.get("style", ""),
        "batch": _count(row, "batch", least=1, default=1),
        "seconds": _block_milliseconds(row) / 1e3,
    }
    if phase == "prefill":
        if _count(row, "context_tokens", least=0, default=0):
            raise _CellError("context_tokens", "prefill is measured with an empty cache, leave 0")
        column = "prompt_tokens" if row.get("prompt_tokens") else "new_tokens"
        tokens = _count(row, column if row.get(column) else "prompt_tokens", least=1)
        return Measurement(phase="prefill", tokens=tokens, **common)
    if phase in ("decode", "verify"):
        context = _count(row, "context_tokens", least=0)
        new = _count(row, "new_tokens", least=1, default=1 if phase == "decode" else None)
        kind: Phase = "decode" if new == 1 else "verify"
        return Measurement(phase=kind, tokens=context, new_tokens=new, **common)
    raise _CellError("phase", f"must be prefill, decode, verify, step or first, got {phase!r}")


def _precision(row: Mapping[str, str]) -> str:
    text = row.get("precision", "").casefold()
    text = {"fp16": "bf16", "float16": "bf16", "bfloat16": "bf16", "none": "bf16"}.get(text, text)
    if text and text not in BYTES_PER_VALUE:
        raise _CellError("precision", f"must be {', '.join(BYTES_PER_VALUE)}, got {text!r}")
    return text


def _hop_measurement(
    row: Mapping[str, str], what: Literal["step", "first"], said: Mapping[str, Any]
) -> HopMeasurement:
    step = what == "step"
    blocks = _count(row, "blocks", least=1)
    tasks = _count(row, "tasks", least=1, default=1)
    if tasks not in (1, blocks) or (step and tasks > 1):
        raise _CellError("tasks", f"a step is 1 task, a prompt 1 or {blocks}, got {tasks}")
    clients = _count(row, "clients", least=1, default=1)
    if clients > 1 and not step:
        raise _CellError("clients", "first tokens are measured with one client")
    return HopMeasurement(
        what=what,
        tokens=_count(row, "context_tokens" if step else "prompt_tokens", least=0 if step else 1),
        clients=clients,
        blocks=blocks,
        tasks=tasks,
        rtt_s=_milliseconds(row, "rtt_ms", least=0.0) / 1e3,
        seconds=_milliseconds(row, "ms") / 1e3,
        **said,
    )


def _count(row: Mapping[str, str], column: str, *, least: int, default: int | None = None) -> int:
    text = row.get(column, "")
    if not text and default is not None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise _CellError(column, f"must be a whole number, got {text!r}")
    value = int(text)
    if not least <= value <= _LARGEST_COUNT:
        raise _CellError(column, f"must lie in {least} .. {_LARGEST_COUNT}, got {value}")
    return value


def _block_milliseconds(row: Mapping[str, str]) -> float:
    return _milliseconds(row, "min_ms_per_block" if row.get("min_ms_per_block") else "ms_per_block")


def _milliseconds(row: Mapping[str, str], column: str, *, least: float = 1e-9) -> float:
    text = row.get(column, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (least <= value <= 1e9):
        kind = "positive number" if least else "number, 0 or more,"
        raise _CellError(column, f"must be a {kind} of milliseconds, got {text!r}")
    return value


def read_petals_rates(path: Path, name: str) -> PetalsRates:
    """The entry of a PETALS throughput file; with several, the one whose key contains ``name``.

    Raises
    ------
    CalibrationError
        If the file is malformed or the entry is not clear.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise CalibrationError(f"{path.name}: not valid JSON: {error}") from error
    entries = content.items() if isinstance(content, dict) else ()
    found = {str(k): v for k, v in entries if isinstance(v, dict) and "inference_rps" in v}
    if len(found) > 1:
        found = {k: v for k, v in found.items() if name.casefold() in k.casefold()} or found
    if len(found) != 1:
        keys = ", ".join(found) or "none"
        raise CalibrationError(
            f"{path.name}: need exactly one entry with inference_rps, found: {keys}; with several, "
            "give a name that occurs in one key"
        )
    key, rates = found.popitem()
    network = None if rates.get("network_rps") is None else _rate(path, key, rates, "network_rps")
    return PetalsRates(
        key=key,
        forward_rps=_rate(path, key, rates, "forward_rps"),
        inference_rps=_rate(path, key, rates, "inference_rps"),
        network_rps=network,
    )


def _rate(path: Path, key: str, rates: Mapping[str, Any], field: str) -> float:
    value = rates.get(field)
    if isinstance(value, int | float) and not isinstance(value, bool) and 1e-9 < value < 1e15:
        return float(value)
    raise CalibrationError(f"{path.name}: {key}.{field} must be a positive number, got {value!r}")
