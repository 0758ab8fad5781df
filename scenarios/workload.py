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
from .drafting import acceptance_of
from .files import read_referenced
from .packed import opened
from .tables import table
from .trace import MAX_TOKENS, read_trace, token_count


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWorkload:
    """The workload, the bytes of the files it came from, and what should be said of them."""

    workload: Workload
    referenced: tuple[bytes, ...] = ()
    warnings: tuple[str, ...] = ()


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
        trace = read_trace(given.trace, rows, base_dir)
        workload = Workload(
            trace=trace.requests,
            num_requests=min(given.requests, len(trace.requests)),
            trace_predicted=trace.predicted,
            lengths=_use(given.lengths),
        )
        return BuiltWorkload(
            workload=workload, referenced=(trace.content,), warnings=trace.warnings
        )
    referenced: list[bytes] = []
    said: list[str] = []
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
                _lengths(getattr(stream, name), f"{where}.{name}", base_dir, referenced, said)
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
                acceptance=() if stream.acceptance is None else acceptance_of(stream.acceptance),
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
    return BuiltWorkload(
        workload=workload, referenced=tuple(referenced), warnings=tuple(dict.fromkeys(said))
    )


def _use(given: schema.LengthKnowledge) -> LengthUse:
    return LengthUse(mode=given.mode, quantile=given.quantile, limit_tokens=given.limit_tokens)


def _lengths(
    given: int | list[int] | schema.TokenFile,
    where: str,
    base_dir: Path,
    referenced: list[bytes],
    said: list[str],
) -> Lengths:
    """One number, a list, or the numbers of a file; ``said`` receives what was left out."""
    if isinstance(given, int):
        return Lengths(values=(given,))
    if isinstance(given, list):
        return Lengths(values=tuple(given))
    field = f"{where}.file"
    path = base_dir / given.file
    referenced.append(read_referenced(path, field))
    if given.model is not None or given.predictor is not None:
        return _answers(given, path, field, base_dir)
    if given.predicted_class is not None and given.column is None:
        raise ScenarioError.single(f"{where}.predicted_class", "needs column: a CSV with a header")
    cells, classes = _cells(given, path, where)
    counts = [_tokens(cell, number, field) for number, cell in enumerate(cells, start=1)]
    kept = [i for i, count in enumerate(counts) if count]
    if not kept:
        raise ScenarioError.single(field, f"needs token counts between 1 and {MAX_TOKENS}")
    if len(kept) < len(counts):
        empty = f"{len(counts) - len(kept)} of {len(counts)} entries are 0 tokens"
        said.append(f"{field}: {path.name}: {empty} (failed or cancelled): left out")
    values = tuple(counts[i] for i in kept)
    if classes is None:
        return Lengths(values=values)
    predicted = predicted_by_class(np.array(values, np.int64), [classes[i] for i in kept])
    return Lengths(values=values, predicted=predicted)


def _cells(given: schema.TokenFile, path: Path, where: str) -> tuple[list[str], list[str] | None]:
    """The counts as they are written, and the class of each where a column of them is named."""
    if given.column is None:
        with opened(path, f"{where}.file") as lines:
            return [word for line in lines for word in line.split()], None
    with table(path, f"{where}.file") as source:
        at = _column(source.header, given.column, f"{where}.column")
        of = at
        if given.predicted_class is not None:
            of = _column(source.header, given.predicted_class, f"{where}.predicted_class")
        pairs = [tuple(row[i] if i < len(row) else "" for i in (at, of)) for _, row in source.rows]
    counts = [pair[0] for pair in pairs]
    return counts, [pair[1] for pair in pairs] if given.predicted_class is not None else None


def _tokens(cell: str, number: int, field: str) -> int:
    try:
        return token_count(cell)
    except ValueError as error:
        raise ScenarioError.single(field, f"entry {number}: {error}") from error


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
    said = predictor.fair_verbosity(found.prompts)[found.prompt]
    maps = predictor.maps

    def predict(fit: IntArray, use: IntArray) -> FloatArray:
        return maps.of_table(said[use], adapt(maps, said[fit], tokens[fit])).tokens

    return Lengths(values=tuple(tokens.tolist()), predicted=crossed(len(tokens), predict))


def _column(header: list[str], column: str, field: str) -> int:
    if column not in header:
        raise ScenarioError.single(field, f"the file has the columns {', '.join(header)[:200]}")
    return header.index(column)
