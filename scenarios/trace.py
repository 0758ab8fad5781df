"""Reading traces: CSV files of arrival, prompt tokens and output tokens."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from ..core.content import FloatArray
from ..core.errors import InputProblem, ScenarioError
from ..core.workload import Request
from ..workload.lengths import predicted_by_class
from . import schema
from .files import decode, read_referenced

#: Column names that are understood, first match wins.
ARRIVAL = ("arrival_s", "TIMESTAMP")
PROMPT = ("prompt_tokens", "ContextTokens")
OUTPUT = ("output_tokens", "GeneratedTokens")
MAX_TRACE_BYTES = 256 * 2**20
MAX_REQUESTS = 2_000_000
_MAX_TOKENS = 10_000_000
_MAX_LISTED = 20
_FIELD = "workload.trace.csv"


def read_trace(
    given: schema.Trace, clients: dict[str, int], base_dir: Path
) -> tuple[tuple[Request, ...], bytes, FloatArray | None]:
    """Requests of a trace, arrivals from 0 and sorted, the bytes of its file, predictions.

    Predictions are (requests, levels) quantiles, None when no ``predicted_class`` is named.

    Parameters
    ----------
    clients : row of each client by its id.

    Raises
    ------
    ScenarioError
        If the file cannot be used; every bad line is named, up to twenty.
    """
    deal = _dealer(given, clients)
    path = base_dir / given.csv
    content = read_referenced(path, _FIELD)
    plain = unzipped(content, _FIELD) if path.suffix == ".gz" else content
    header, rows = read_columns(decode(plain, path, _FIELD), _FIELD)
    columns = [_find(header, group) for group in (ARRIVAL, PROMPT, OUTPUT)]
    own = header.index("client") if "client" in header else None
    said = None if given.predicted_class is None else _find(header, [given.predicted_class])
    wrong: list[InputProblem] = []
    found: list[_Row] = []
    for number, row in enumerate(itertools.islice(rows, given.max_requests), start=2):
        try:
            name = row[own] if own is not None else ""
            label = row[said] if said is not None else ""
            found.append(_parse(row, columns, clients[name] if name else next(deal), label))
        except (ValueError, KeyError, IndexError, OverflowError) as error:
            text = f"unknown client {error}" if isinstance(error, KeyError) else str(error)
            wrong.append(InputProblem(_FIELD, f"{path.name} line {number}: {text[:200]}"))
        if len(wrong) == _MAX_LISTED or len(found) > MAX_REQUESTS:
            break
    if len(found) > MAX_REQUESTS:
        message = f"has more than {MAX_REQUESTS} requests: set max_requests"
        wrong.append(InputProblem(_FIELD, message))
    if wrong:
        raise ScenarioError(wrong)
    if len(found) < 2:
        raise ScenarioError.single(_FIELD, f"{path.name} has fewer than two requests")
    found = sorted(found, key=lambda row: row.arrival_s)
    predicted = None
    if said is not None:
        tokens = np.array([row.output_tokens for row in found], dtype=np.int64)
        predicted = predicted_by_class(tokens, [row.label for row in found])
    return _scaled(_as_requests(found), given.rate_per_s), content, predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    arrival_s: float
    client: int
    prompt_tokens: int
    output_tokens: int
    label: str


def read_columns(text: str, field: str) -> tuple[list[str], Iterator[list[str]]]:
    """Header and rows of a CSV text; blank lines are skipped."""
    reader = _rows(text, field)
    return [name.strip() for name in next(reader, [])], reader


def _rows(text: str, field: str) -> Iterator[list[str]]:
    try:
        for row in csv.reader(io.StringIO(text)):
            if row:
                yield row
    except csv.Error as error:
        raise ScenarioError.single(field, f"is not a CSV file: {error}") from error


def _find(header: Sequence[str], names: Sequence[str]) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    shown = ", ".join(header)[:200]
    raise ScenarioError.single(_FIELD, f"has no column {' or '.join(names)}, only: {shown}")


def _parse(row: Sequence[str], columns: Sequence[int], client: int, label: str) -> _Row:
    if max(columns) >= len(row):
        raise ValueError("has too few columns")
    at, prompt, output = (row[c].strip() for c in columns)
    arrival_s, prompt_tokens, output_tokens = _instant_s(at), int(prompt), int(output)
    if not abs(arrival_s) <= 1e12:
        raise ValueError("the arrival must be a finite time")
    if not (1 <= prompt_tokens <= _MAX_TOKENS and 0 <= output_tokens <= _MAX_TOKENS):
        raise ValueError("needs at least 1 prompt token and no negative or absurd count")
    return _Row(
        arrival_s=arrival_s,
        client=client,
        prompt_tokens=prompt_tokens,
        output_tokens=max(1, output_tokens),
        label=label,
    )


def _instant_s(text: str) -> float:
    """Seconds from a number or a time stamp (fractions beyond microseconds are kept)."""
    try:
        return float(text)
    except ValueError:
        whole, _, fraction = text.partition(".")
        stamp = datetime.fromisoformat(whole).replace(tzinfo=None)
        seconds = (stamp - datetime(2000, 1, 1)).total_seconds()
        return seconds + (float("0." + fraction) if fraction else 0.0)


def _dealer(given: schema.Trace, clients: dict[str, int]) -> Iterator[int]:
    """Client rows for requests that name none, by share: the one most behind comes next."""
    if given.client is not None and given.shares is not None:
        raise ScenarioError.single("workload.trace.shares", "give client or shares, not both")
    shares = {given.client: 1.0} if given.client is not None else given.shares
    for name in shares or ():
        if name not in clients:
            field = "client" if given.client is not None else f"shares.{name}"
            message = f"no client {name!r} in this scenario"
            raise ScenarioError.single(f"workload.trace.{field}", message)
    weights = (
        {clients[n]: w for n, w in shares.items()}
        if shares
        else dict.fromkeys(clients.values(), 1.0)
    )
    return _by_share(weights)


def _by_share(weights: dict[int, float]) -> Iterator[int]:
    total = sum(weights.values())
    credit = dict.fromkeys(weights, 0.0)
    while True:
        for row, weight in weights.items():
            credit[row] += weight / total
        chosen = max(credit, key=lambda row: (round(credit[row], 9), -row))
        credit[chosen] -= 1.0
        yield chosen


def _as_requests(found: list[_Row]) -> tuple[Request, ...]:
    first = found[0].arrival_s
    return tuple(
        Request(
            id=i,
            client=row.client,
            arrival_s=row.arrival_s - first,
            prompt_tokens=row.prompt_tokens,
            output_tokens=row.output_tokens,
            reserved_tokens=row.prompt_tokens + row.output_tokens,
        )
        for i, row in enumerate(found)
    )


def _scaled(requests: tuple[Request, ...], rate_per_s: float | None) -> tuple[Request, ...]:
    """The same requests with time stretched to a mean rate."""
    if rate_per_s is None:
        return requests
    span_s = requests[-1].arrival_s
    if span_s == 0.0:
        field = "workload.trace.rate_per_s"
        raise ScenarioError.single(field, "all requests arrive at one instant")
    stretch = (len(requests) - 1) / (span_s * rate_per_s)
    return tuple(replace(r, arrival_s=r.arrival_s * stretch) for r in requests)


def unzipped(content: bytes, field: str) -> bytes:
    """The content of a gzip file, refused when it grows beyond any trace's size."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            plain = file.read(MAX_TRACE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ScenarioError.single(field, f"is not a gzip file: {error}") from error
    if len(plain) > MAX_TRACE_BYTES:
        message = f"unpacks to more than {MAX_TRACE_BYTES / 2**20:g} MiB"
        raise ScenarioError.single(field, message)
    return plain
