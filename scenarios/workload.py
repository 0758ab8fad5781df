"""Workloads: token counts and streams of a file, requests drawn by seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.errors import InputProblem, ScenarioError
from ..core.problem import FloatArray, Problem
from ..core.workload import Lengths, Request, RequestClass, Workload
from . import schema
from .files import decode, read_referenced
from .trace import read_columns, read_trace

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
        requests, content = read_trace(given.trace, rows, base_dir)
        workload = Workload(trace=requests, num_requests=min(given.requests, len(requests)))
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
    workload = Workload(classes=tuple(classes), num_requests=given.requests)
    return BuiltWorkload(workload=workload, referenced=tuple(referenced))


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
    text = decode(content, path, field)
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
    return Lengths(values=tuple(values))


def _column(text: str, column: str, where: str) -> list[str]:
    header, rows = read_columns(text, f"{where}.file")
    if column not in header:
        message = f"the file has the columns {', '.join(header)[:200]}"
        raise ScenarioError.single(f"{where}.column", message)
    at = header.index(column)
    return [row[at] if at < len(row) else "" for row in rows]


def draw_requests(
    problem: Problem, seed: int, *, num_requests: int | None = None, load_factor: float = 1.0
) -> tuple[Request, ...]:
    """Requests of the problem's workload, sorted by arrival.

    Parameters
    ----------
    num_requests : how many; the workload's own number when left out; a trace ends where it ends.
    load_factor : multiplies every rate. The same seed draws the same lengths and the same gaps,
        scaled: runs at different loads see common random numbers.
    """
    load = problem.workload
    if load.trace:
        first = load.trace[0].arrival_s
        chosen = load.trace[: num_requests or load.num_requests]
        return tuple(replace(r, arrival_s=(r.arrival_s - first) / load_factor) for r in chosen)
    total = num_requests or load.num_requests
    parts = []
    streams = np.random.SeedSequence(seed).spawn(len(load.classes))
    for stream, sequence in zip(load.classes, streams, strict=True):
        if stream.rate_per_s > 0:
            parts.append(_draw(stream, np.random.default_rng(sequence), total, load_factor))
    rows = np.concatenate(parts)
    rows = rows[np.argsort(rows[:, 0], kind="stable")][:total]
    return tuple(
        Request(
            id=i,
            client=int(client),
            arrival_s=float(at),
            prompt_tokens=int(prompt),
            output_tokens=int(output),
            reserved_tokens=int(prompt + output),
        )
        for i, (at, client, prompt, output) in enumerate(rows)
    )


def _draw(
    stream: RequestClass, rng: np.random.Generator, count: int, load_factor: float
) -> FloatArray:
    """(count, 4) arrival, client, prompt, output of one stream."""
    if stream.gap_cv == 0:
        gaps = np.ones(count)
    else:
        shape = 1.0 / stream.gap_cv**2
        gaps = rng.gamma(shape, 1.0 / shape, count)
    arrivals = np.cumsum(gaps) / (stream.rate_per_s * load_factor)
    prompts, outputs = stream.prompt_tokens.draw(rng, count), stream.output_tokens.draw(rng, count)
    return np.column_stack([arrivals, np.full(count, stream.client), prompts, outputs])
