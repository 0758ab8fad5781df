"""Workloads: reading traces, drawing requests by seed."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from ..core.errors import InputProblem, ScenarioError
from ..core.problem import FloatArray, Problem
from ..core.workload import Lengths, Request, RequestClass, Workload
from . import schema

#: Column names that are understood, first match wins.
ARRIVAL = ("arrival_s", "TIMESTAMP")
PROMPT = ("prompt_tokens", "ContextTokens")
OUTPUT = ("output_tokens", "GeneratedTokens")
MAX_TRACE_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWorkload:
    """The workload, the trace's bytes if there was one, and warnings."""

    workload: Workload
    referenced: tuple[bytes, ...] = ()
    warnings: tuple[str, ...] = ()


def build_workload(document: schema.Scenario, base_dir: Path) -> BuiltWorkload:
    """The workload of a document; clients by id become rows.

    Raises
    ------
    ScenarioError
        Unknown clients, no load at all, or a trace that cannot be used.
    """
    given = document.workload
    rows = {c.id: i for i, c in enumerate(document.clients)}
    if bool(given.streams) == (given.trace is not None):
        raise ScenarioError.single("streams", "give either streams or a trace")
    if given.trace is not None:
        return _from_trace(given.trace, rows, base_dir)
    wrong = [
        InputProblem(f"streams[{i}].client", f"no client {s.client!r} in this scenario")
        for i, s in enumerate(given.streams)
        if s.client not in rows
    ]
    if wrong:
        raise ScenarioError(wrong)
    if not any(s.rate_per_s > 0 for s in given.streams):
        raise ScenarioError.single("streams", "at least one rate_per_s must be positive")
    classes = tuple(
        RequestClass(
            client=rows[s.client],
            rate_per_s=s.rate_per_s,
            gap_cv=s.gap_cv,
            prompt_tokens=_lengths(s.prompt_tokens),
            output_tokens=_lengths(s.output_tokens),
        )
        for s in given.streams
    )
    return BuiltWorkload(workload=Workload(classes=classes, num_requests=given.requests))


def _lengths(given: int | list[int]) -> Lengths:
    return Lengths(values=(given,) if isinstance(given, int) else tuple(given))


def draw_requests(
    problem: Problem, seed: int, *, num_requests: int | None = None, load_factor: float = 1.0
) -> tuple[Request, ...]:
    """Requests of the problem's workload, sorted by arrival.

    Parameters
    ----------
    num_requests : how many; the workload's own number (or the whole trace) when left out.
    load_factor : multiplies every rate. The same seed draws the same lengths and the same gaps,
        scaled: runs at different loads see common random numbers.
    """
    load = problem.workload
    if load.trace:
        first = load.trace[0].arrival_s
        chosen = load.trace[: num_requests or len(load.trace)]
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


def _from_trace(given: schema.Trace, clients: dict[str, int], base_dir: Path) -> BuiltWorkload:
    """A CSV trace; without a client column the clients take turns."""
    from .load import read_bytes

    path = base_dir / given.csv
    content = read_bytes(path)
    try:
        plain = _unzipped(content) if path.suffix == ".gz" else content
        lines = list(csv.DictReader(io.StringIO(plain.decode("utf-8-sig"))))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError.single("trace.csv", f"{path} is not a CSV file: {error}") from error
    if given.max_requests is not None:
        lines = lines[: given.max_requests]
    if given.client is not None and given.client not in clients:
        raise ScenarioError.single("trace.client", f"no client {given.client!r} in this scenario")
    requests = _requests(lines, path, clients, given.client)
    if len(requests) < 2:
        raise ScenarioError.single("trace.csv", f"{path} has fewer than two requests")
    workload = Workload(trace=requests, num_requests=len(requests))
    if given.rate_per_s is not None:
        if workload.rate_per_s == 0:
            raise ScenarioError.single("trace.rate_per_s", "all requests arrive at one instant")
        stretch = workload.rate_per_s / given.rate_per_s
        scaled = tuple(replace(r, arrival_s=r.arrival_s * stretch) for r in requests)
        workload = Workload(trace=scaled, num_requests=len(requests))
    return BuiltWorkload(workload=workload, referenced=(content,))


def _unzipped(content: bytes) -> bytes:
    """The content of a gzip file, refused when it grows beyond any trace's size."""
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        plain = file.read(MAX_TRACE_BYTES + 1)
    if len(plain) > MAX_TRACE_BYTES:
        raise OSError("unpacked, it is too large for a trace")
    return plain


def _requests(
    lines: Sequence[dict[str, str]], path: Path, clients: dict[str, int], only: str | None
) -> tuple[Request, ...]:
    """Rows as requests, arrivals from 0, sorted; every bad row is reported."""
    header = list(lines[0]) if lines else []
    names = [next((n for n in group if n in header), None) for group in (ARRIVAL, PROMPT, OUTPUT)]
    for name, group in zip(names, (ARRIVAL, PROMPT, OUTPUT), strict=True):
        if name is None:
            raise ScenarioError.single("trace.csv", f"{path} has no column {' or '.join(group)}")
    wrong: list[InputProblem] = []
    found: list[tuple[float, int, int, int]] = []
    for i, line in enumerate(lines):
        try:
            at, prompt, output = (line[n] for n in names if n is not None)
            client = only or line.get("client") or ""
            row = clients[client] if client else i % len(clients)
            values = (_instant_s(at), row, int(prompt), int(output))
            if values[2] < 1 or values[3] < 0 or not np.isfinite(values[0]):
                raise ValueError("needs prompt_tokens >= 1, output_tokens >= 0, a finite arrival")
            found.append((values[0], row, values[2], max(1, values[3])))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            wrong.append(InputProblem(f"trace.csv line {i + 2}", f"{path.name}: {error}"))
    if wrong:
        raise ScenarioError(wrong[:20])
    found.sort(key=lambda r: r[0])
    first = found[0][0] if found else 0.0
    return tuple(
        Request(
            id=i,
            client=client,
            arrival_s=at - first,
            prompt_tokens=prompt,
            output_tokens=output,
            reserved_tokens=prompt + output,
        )
        for i, (at, client, prompt, output) in enumerate(found)
    )


def _instant_s(text: str) -> float:
    """Seconds from a number or a time stamp (fractions beyond microseconds are kept)."""
    try:
        return float(text)
    except ValueError:
        whole, _, fraction = text.partition(".")
        seconds = (datetime.fromisoformat(whole) - datetime(2000, 1, 1)).total_seconds()
        return seconds + (float("0." + fraction) if fraction else 0.0)
