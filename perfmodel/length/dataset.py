"""Observed lengths: (prompt, model, output tokens), grouped by the prompt's normalised text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.errors import CalibrationError
from ...core.problem import FloatArray, IntArray
from .features import normalised

FIELDS = ("prompt", "model", "output_tokens")
MAX_BYTES = 2 * 2**30
MAX_TOKENS = 10_000_000
_MAX_LISTED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Rows of (prompt, model, tokens) by index; equal prompts share one index.

    Attributes
    ----------
    prompts : distinct prompts, distinct also after normalising.
    models : names, sorted.
    prompt, model, tokens : (N,) per observation.
    """

    prompts: tuple[str, ...]
    models: tuple[str, ...]
    prompt: IntArray
    model: IntArray
    tokens: IntArray

    def __len__(self) -> int:
        return len(self.tokens)

    def of_prompts(self, chosen: IntArray) -> Observations:
        """The observations of some prompts (by index), renumbered; models keep their index."""
        new = np.full(len(self.prompts), -1, dtype=np.int64)
        new[chosen] = np.arange(len(chosen))
        keep = new[self.prompt] >= 0
        return Observations(
            prompts=tuple(self.prompts[i] for i in chosen.tolist()),
            models=self.models,
            prompt=new[self.prompt[keep]],
            model=self.model[keep],
            tokens=self.tokens[keep],
        )

    def of_models(self, chosen: IntArray) -> Observations:
        """The observations of some models (by index); prompts keep their index."""
        new = np.full(len(self.models), -1, dtype=np.int64)
        new[chosen] = np.arange(len(chosen))
        keep = new[self.model] >= 0
        return Observations(
            prompts=self.prompts,
            models=tuple(self.models[i] for i in chosen.tolist()),
            prompt=self.prompt[keep],
            model=new[self.model[keep]],
            tokens=self.tokens[keep],
        )

    def log_lengths(self) -> FloatArray:
        """(N,) ``log(1 + tokens)``: the scale on which lengths are near to normal."""
        logs: FloatArray = np.log1p(self.tokens.astype(np.float64))
        return logs


def gather(rows: Iterable[tuple[str, str, int]]) -> Observations:
    """Observations of triples; prompts that are equal once normalised become one."""
    prompts: dict[str, int] = {}
    texts: list[str] = []
    named: list[tuple[int, str, int]] = []
    for text, model, tokens in rows:
        key = normalised(text)
        if key not in prompts:
            prompts[key] = len(texts)
            texts.append(text)
        named.append((prompts[key], model, tokens))
    models = sorted({model for _, model, _ in named})
    row_of = {name: i for i, name in enumerate(models)}
    return Observations(
        prompts=tuple(texts),
        models=tuple(models),
        prompt=np.array([p for p, _, _ in named], dtype=np.int64),
        model=np.array([row_of[m] for _, m, _ in named], dtype=np.int64),
        tokens=np.array([t for _, _, t in named], dtype=np.int64),
    )


def read_observations(path: Path) -> Observations:
    """Observations of a JSON Lines or CSV file with the fields prompt, model, output_tokens.

    ``model`` may be left out when the file is about one model.

    Raises
    ------
    CalibrationError
        If the file cannot be used; the first bad lines are named.
    """
    rows = _rows(path)
    found: list[tuple[str, str, int]] = []
    wrong: list[str] = []
    for number, given in rows:
        try:
            found.append(_triple(given))
        except ValueError as error:
            wrong.append(f"{path} line {number}: {error}")
            if len(wrong) == _MAX_LISTED:
                break
    if wrong:
        raise CalibrationError("\n".join(wrong))
    if not found:
        raise CalibrationError(f"{path}: has no observations")
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
        text = given.get("prompt") if isinstance(given, dict) else None
        own = given.get("model", model) if isinstance(given, dict) else None
        if not isinstance(text, str) or not isinstance(own, str):
            raise CalibrationError(f"{path} line {number}: needs prompt (and model) as text")
        found.append((text, own))
    return found


def sampled(given: Observations, prompts: int, seed: int) -> Observations:
    """The observations of at most ``prompts`` prompts, drawn at random when there are more."""
    size = len(given.prompts)
    if size <= prompts:
        return given
    return given.of_prompts(np.sort(np.random.default_rng(seed).choice(size, prompts, False)))


def _rows(path: Path) -> Iterable[tuple[int, object]]:
    """Line number and content of each row of a JSON Lines or CSV file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CalibrationError(f"{path}: larger than 2 GiB: split it")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CalibrationError(f"{path}: is not UTF-8 text: {error.reason}") from error
    return _csv_rows(path, text) if path.suffix.lower() == ".csv" else _json_rows(text)


def _json_rows(text: str) -> Iterable[tuple[int, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, None


def _csv_rows(path: Path, text: str) -> Iterable[tuple[int, object]]:
    csv.field_size_limit(16 * 2**20)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise CalibrationError(f"{path} line {reader.line_num}: not CSV: {error}") from error


def _triple(given: object) -> tuple[str, str, int]:
    if not isinstance(given, dict):
        raise ValueError(f"is not an object with {', '.join(FIELDS)}")
    prompt, model, tokens = given.get("prompt"), given.get("model", "model"), given.get(FIELDS[2])
    if not isinstance(prompt, str) or not isinstance(model, str) or not model:
        raise ValueError("needs prompt and model as text")
    if isinstance(tokens, bool) or tokens is None:
        raise ValueError("needs output_tokens as a whole number")
    try:
        count = float(tokens)
    except (TypeError, ValueError) as error:
        raise ValueError(f"output_tokens is {str(tokens)[:40]!r}, not a whole number") from error
    if not 0 <= count <= MAX_TOKENS or count != int(count):
        raise ValueError(f"output_tokens must be a whole number from 0 to {MAX_TOKENS}")
    return prompt, model, int(count)


def grouped_splits(
    prompts: int, splits: int, seed: int, test_frac: float = 0.2
) -> Sequence[tuple[IntArray, IntArray]]:
    """Random (training, test) prompts, ``splits`` times; a prompt is on one side only."""
    size = max(1, round(prompts * test_frac))
    found = []
    for sequence in np.random.SeedSequence(seed).spawn(splits):
        order = np.random.default_rng(sequence).permutation(prompts)
        found.append((np.sort(order[size:]), np.sort(order[:size])))
    return found
