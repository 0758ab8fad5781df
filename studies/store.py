"""Results of a sweep as JSON Lines: appended as they finish, resumed after any kind of death.

The first line says which sweep it is. A line counts when it is complete; a torn last line is cut
off. When all are there the file is put in order, so that equal sweeps leave equal bytes.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from pathlib import Path
from typing import Any, Self

from ..core.errors import ScenarioError
from ..core.version import TOOL
from ..scenarios.files import read_bytes, refuse_link, write_text

RESULTS_FORMAT = "swarmplan/results/1"
_MAX_BYTES = 2**30


class Store:
    """The results file of one sweep.

    Parameters
    ----------
    sha256 : of the sweep; a file of another sweep is refused.
    total : how many configurations the sweep has.

    Raises
    ------
    ScenarioError
        If the file holds something else, or another run is writing it.
    """

    def __init__(self, path: Path, sha256: str, total: int) -> None:
        self.path = path
        self._head = {
            "format": RESULTS_FORMAT,
            "sweep_sha256": sha256,
            "configurations": total,
            "tool": TOOL,
        }
        self.records: dict[int, dict[str, Any]] = {}
        try:
            refuse_link(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
        except OSError as error:
            message = f"cannot be written: {error.strerror}"
            raise ScenarioError.single("", message, source=str(path)) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ScenarioError.single(
                "", "another run is writing this file", source=str(path)
            ) from error
        try:
            self._resume()
        except ScenarioError:
            self._file.close()
            raise

    @property
    def done(self) -> frozenset[int]:
        """Indices whose results are on disk."""
        return frozenset(self.records)

    def append(self, record: dict[str, Any]) -> None:
        """Add one result; it survives the death of this process from here on."""
        clean = json.loads(_line(record))
        if clean["index"] not in self.records:
            self._write(clean)
            self.records[clean["index"]] = clean

    def finish(self) -> list[dict[str, Any]]:
        """All results by index; a complete file is rewritten in that order."""
        ordered = [self.records[i] for i in sorted(self.records)]
        if len(ordered) == self._head["configurations"]:
            write_text(self.path, "".join(_line(r) for r in (self._head, *ordered)))
        return ordered

    def close(self) -> None:
        """Let others write the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(_line(line).encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def _resume(self) -> None:
        """Read what is there, cut off a torn line, write the head of a new file."""
        head, records, whole = read_results(self.path)
        if head is None:
            self._file.truncate(0)
            self._write(self._head)
            return
        if any(head.get(k) != self._head[k] for k in ("format", "sweep_sha256", "tool")):
            raise ScenarioError.single(
                "",
                "holds the results of another sweep, scenario or version of swarmplan: name "
                "another file with -o, or remove it",
                source=str(self.path),
            )
        self._file.truncate(whole)
        self.records = records


def _line(record: dict[str, Any]) -> str:
    return json.dumps(_strict(record), sort_keys=True, separators=(",", ":")) + "\n"


def _strict(value: Any) -> Any:
    """Strict JSON has no nan."""
    if isinstance(value, dict):
        return {k: _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_results(path: Path) -> tuple[dict[str, Any] | None, dict[int, dict[str, Any]], int]:
    """Head (None for an empty file), records by index, bytes of the complete lines.

    Raises
    ------
    ScenarioError
        If a complete line is no result.
    """
    content = read_bytes(path, _MAX_BYTES)
    whole = content.rfind(b"\n") + 1
    head: dict[str, Any] | None = None
    records: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            entry = json.loads(line)
            if head is None:
                head = dict(entry)
            else:
                records[int(entry["index"])] = entry
        except (ValueError, KeyError, TypeError) as error:
            message = f"line {number} is no result of a sweep"
            raise ScenarioError.single("", message, source=str(path)) from error
    return head, records, whole
