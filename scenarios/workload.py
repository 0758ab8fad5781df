"""Workloads of a file: token counts, streams, traces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.errors import CalibrationError, InputProblem, ScenarioError
from ..core.workload import Lengths, LengthUse, RequestClass, Workload
from ..workload.lengths import crossed, predicted_by_class
from . import schema
from .files import decode, read_referenced
from .trace import read_columns, read_trace, unzipped

_MAX_TOKENS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWorkload:
    """The workload and the bytes of the files it came from."""

    workload: Workload
    referenced: tuple[bytes, ...] = ()


def build_workload(document: schema.Scenario, base_dir: Path) -> BuiltWorkload:
    """The workload of a document; clients by id become rows.

    Raises
    ------
    ScenarioError
        Unknown clients, no load at all, a file or a trace that cannot be used.
    """
    given = document.workload
    rows = {c.id: i for i, c in enumerate(document.clients)}
    if bool(given.streams) == (given.trace is not None):
        raise ScenarioError.single("workload.streams", "give either streams or a trace")
    if given.trace is not None:
        requests, content, predicted = read_trace(given.trace, rows, base_dir)
        workload = Workload(
            trace=requests,
            num_requests=min(given.requests, len(requests)),
            trace_predicted=predicted,
            lengths=_use(given.lengths),
        )
        return BuiltWorkload(workload=workload, referenced=(content,))
    referenced: list[bytes] = []
    wrong: list[InputProblem] = []
    classes = []
    for i, stream in enumerate(given.streams):
        where = f"workload.streams[{i}]"
        if stream.client not in rows:
            message = f"no client {stream.client!r} in this scenario"
            wrong.append(InputProblem(f"{where}.client", message))
            continue
        try:
            prompt, output = (
                _lengths(getattr(stream, name), f"{where}.{name}", base_dir, referenced)
                for name in ("prompt_tokens", "output_tokens")
            )
        except ScenarioError as error:
            wrong += error.problems
            continue
        classes.append(
            RequestClass(
                client=rows[stream.client],
                rate_per_s=stream.rate_per_s,
                gap_cv=stream.gap_cv,
                prompt_tokens=prompt,
                output_tokens=output,
            )
        )
    if not wrong and not any(c.rate_per_s > 0 for c in classes):
        message = "is 0 in every stream; at least one must be positive"
        wrong.append(InputProblem("workload.streams[0].rate_per_s", message))
    if wrong:
        raise ScenarioError(wrong)
    workload = Workload(
        classes=tuple(classes), num_requests=given.requests, lengths=_use(given.lengths)
    )
    return BuiltWorkload(workload=workload, referenced=tuple(referenced))


def _use(given: schema.LengthKnowledge) -> LengthUse:
    return LengthUse(mode=given.mode, quantile=given.quantile, limit_tokens=given.limit_tokens)


def _lengths(
    given: int | list[int] | schema.TokenFile, where: str, base_dir: Path, referenced: list[bytes]
) -> Lengths:
    """One number, a list, or the numbers of a file."""
    if isinstance(given, int):
        return Lengths(values=(given,))
    if isinstance(given, list):
        return Lengths(values=tuple(given))
    field = f"{where}.file"
    path = base_dir / given.file
    content = read_referenced(path, field)
    referenced.append(content)
    if given.model is not None or given.predictor is not None:
        return _answers(given, path, field, base_dir)
    plain = unzipped(content, field) if path.suffix == ".gz" else content
    text = decode(plain, path, field)
    lines = text.split() if given.column is None else _column(text, given.column, where)
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            values.append(int(line))
        except ValueError as error:
            message = f"entry {number}: {line[:40]!r} is not a whole number"
            raise ScenarioError.single(field, message) from error
    if not values or not 1 <= min(values) <= max(values) <= _MAX_TOKENS:
        message = f"needs token counts between 1 and {_MAX_TOKENS}"
        raise ScenarioError.single(field, message)
    if given.predicted_class is None:
        return Lengths(values=tuple(values))
    if given.column is None:
        raise ScenarioError.single(f"{where}.predicted_class", "needs column: a CSV with a header")
    classes = _column(text, given.predicted_class, where, "predicted_class")
    return Lengths(
        values=tuple(values), predicted=predicted_by_class(np.array(values, np.int64), classes)
    )


def _answers(given: schema.TokenFile, path: Path, field: str, base_dir: Path) -> Lengths:
    """Lengths of one model's answers in a file of observations, predicted from the prompts."""
    from ..perfmodel.length.predictor import load
    from ..perfmodel.length.reading import read_observations
    from ..perfmodel.length.universal import adapt

    try:
        found = read_observations(path)
        if given.model not in found.models:
            known = ", ".join(found.models)[:200]
            raise ScenarioError.single(field, f"has no model {given.model!r}, only {known}")
        found = found.of_models(np.array([found.models.index(given.model)]))
        tokens = np.maximum(found.tokens, 1)
        if given.predictor is None:
            return Lengths(values=tuple(tokens.tolist()))
        shipped = given.predictor == "shipped"
        predictor = load(None if shipped else base_dir / given.predictor)
    except CalibrationError as error:
        raise ScenarioError.single(field, str(error)) from error
    said = predictor.verbosity(found.prompts)[found.prompt]
    maps = predictor.maps

    def predict(fit: IntArray, use: IntArray) -> FloatArray:
        return maps.of_table(said[use], adapt(maps, said[fit], tokens[fit])).tokens

    return Lengths(values=tuple(tokens.tolist()), predicted=crossed(len(tokens), predict))


def _column(text: str, column: str, where: str, field: str = "column") -> list[str]:
    header, rows = read_columns(text, f"{where}.file")
    if column not in header:
        message = f"the file has the columns {', '.join(header)[:200]}"
        raise ScenarioError.single(f"{where}.{field}", message)
    at = header.index(column)
    return [row[at] if at < len(row) else "" for row in rows]
