"""Files of observed lengths and of prompts: JSON Lines or CSV, refused line by line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from ...core.errors import CalibrationError
from .dataset import Observations, gather

FIELDS = ("prompt", "model", "output_tokens")
MAX_BYTES = 2 * 2**30
MAX_TOKENS = 10_000_000
_MAX_LISTED = 5
_SHOWN = 40
_NOT_JSON = object()
_KINDS = {list: "a list", str: "a text", int: "a number", float: "a number", type(None): "null"}


def read_observations(path: Path) -> Observations:
    """Observations of a JSON Lines or CSV file with the fields prompt, model, output_tokens.

    ``model`` may be left out when the file is about one model.

    Raises
    ------
    CalibrationError
        If the file cannot be used; the first bad lines are named.
    """
    found: list[tuple[str, str, int]] = []
    wrong: list[str] = []
    for number, given in _rows(path):
        try:
            found.append(_triple(given))
        except ValueError as error:
            wrong.append(f"{path} line {number}: {error}")
            if len(wrong) == _MAX_LISTED:
                wrong.append(f"{path}: reading stopped after {_MAX_LISTED} bad lines")
                break
    if wrong:
        raise CalibrationError("\n".join(wrong))
    if not found:
        raise CalibrationError(
            f"{path}: has no observations: give one JSON object per line with {', '.join(FIELDS)}"
        )
    return gather(found)


def read_prompts(path: Path, model: str = "") -> list[tuple[str, str]]:
    """Prompts of a JSON Lines or CSV file, each with its model or the one given.

    Raises
    ------
    CalibrationError
        If the file cannot be used.
    """
    found = []
    for number, given in _rows(path):
        try:
            row = _object(given)
            found.append((_text(row, "prompt"), _text({"model": model, **row}, "model")))
        except ValueError as error:
            raise CalibrationError(f"{path} line {number}: {error}") from error
    return found


def _rows(path: Path) -> Iterator[tuple[int, object]]:
    """Line number and content of each row of a JSON Lines or CSV file."""
    number = 0
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CalibrationError(f"{path}: larger than 2 GiB: split it")
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            rows = _csv_rows if path.suffix.lower() == ".csv" else _json_rows
            for number, row in rows(path, file):
                yield number, row
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CalibrationError(
            f"{path}: is not UTF-8 text (after line {number}): convert or unpack it first"
        ) from error


def _json_rows(path: Path, file: TextIO) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, _NOT_JSON


def _csv_rows(path: Path, file: TextIO) -> Iterator[tuple[int, object]]:
    csv.field_size_limit(16 * 2**20)
    reader = csv.DictReader(file, strict=True)
    try:
        names = reader.fieldnames or ()
        if names and "prompt" not in names:
            raise CalibrationError(
                f"{path} line 1: a CSV file begins with the names of its columns, "
                f"{','.join(FIELDS)}; this one has no column prompt"
            )
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise CalibrationError(f"{path} line {reader.line_num}: not CSV: {error}") from error


def _object(given: object) -> dict[str, object]:
    if given is _NOT_JSON:
        raise ValueError(
            "is not JSON: write one object per line, or name a file of comma-separated values .csv"
        )
    if not isinstance(given, dict):
        kind = _KINDS.get(type(given), type(given).__name__)
        raise ValueError(f"is {kind}: write one object with {', '.join(FIELDS)} on each line")
    return given


def _text(row: Mapping[str, object], name: str) -> str:
    if (value := row.get(name)) is None:
        raise ValueError(f"lacks {name}: give it as text")
    if not isinstance(value, str):
        raise ValueError(f"{name} is {_shown(value)}: give it as text in quotes")
    # Half of a surrogate pair is no character: no tokenizer takes it.
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _triple(given: object) -> tuple[str, str, int]:
    row = _object(given)
    prompt, model = _text(row, "prompt"), _text({"model": "model", **row}, "model")
    if not model.strip():
        raise ValueError("model is empty: name the model, or leave the field out for a single one")
    if (tokens := row.get("output_tokens")) is None:
        raise ValueError("lacks output_tokens: give the number of tokens that the model made")
    return prompt, model, _whole(tokens)


def _whole(tokens: object) -> int:
    """A number of tokens, as JSON has it or as the text of a CSV cell."""
    count = -1.0
    if isinstance(tokens, int | float | str) and not isinstance(tokens, bool):
        with suppress(ValueError, OverflowError):
            count = float(tokens)
    if not 0 <= count <= MAX_TOKENS or count != int(count):
        raise ValueError(
            f"output_tokens is {_shown(tokens)}: give a whole number from 0 to {MAX_TOKENS}"
        )
    return int(count)


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except ValueError:  # An integer of thousands of digits has no text.
        return "a huge number"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
