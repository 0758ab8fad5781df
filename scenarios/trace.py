"""Reading traces: arrival, prompt tokens and output tokens of every request, as published."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.content import FloatArray
from ..core.errors import InputProblem, ScenarioError
from ..core.workload import Request
from ..workload.lengths import predicted_by_class
from . import schema
from .files import MAX_BYTES, check_file, read_referenced
from .instants import PER_S, Unit, clock
from .tables import Table, table

#: Column names that are understood, upper and lower case and signs alike; first match wins.
#: Those of Azure, BurstGPT, Mooncake, Splitwise and Vidur are among them.
_ARRIVAL = (
    *("arrival", "timestamp", "arrival timestamp", "arrival time", "arrived at", "start time"),
    *("request time", "created at", "datetime", "time", "ts"),
)
ARRIVAL: tuple[str, ...] = (
    "arrival_s",
    *(f"{name} {unit}" for unit in PER_S for name in _ARRIVAL),
    *_ARRIVAL,
)
PROMPT = (
    "prompt_tokens",
    "ContextTokens",
    "Request tokens",
    "input_length",
    "prompt_size",
    "num_prefill_tokens",
    "input_tokens",
    "prompt_len",
    "input_len",
    "prompt_length",
    "num_prompt_tokens",
    "num_input_tokens",
    "prefill_tokens",
    "ISL",
)
OUTPUT = (
    "output_tokens",
    "GeneratedTokens",
    "Response tokens",
    "output_length",
    "token_size",
    "num_decode_tokens",
    "completion_tokens",
    "generated_tokens",
    "output_len",
    "num_output_tokens",
    "response_length",
    "decode_tokens",
    "OSL",
)
#: Mooncake counts in ms and says so nowhere; Alibaba's traces have its columns, and seconds.
_MOONCAKE = {"timestamp", "inputlength", "outputlength"}
_ALIBABA = "chatid"
MAX_REQUESTS = 2_000_000
MAX_TOKENS = 10_000_000
_MAX_LISTED = 20
_FIELD = "workload.trace.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTrace:
    """What a trace holds.

    Attributes
    ----------
    requests : arrivals from 0 and sorted.
    content : the bytes of the file, or a digest of the rows read where it is large.
    predicted : (requests, levels) quantiles; None when no ``predicted_class`` is named.
    warnings : what was left out or assumed.
    """

    requests: tuple[Request, ...]
    content: bytes
    predicted: FloatArray | None
    warnings: tuple[str, ...]


def read_trace(given: schema.Trace, clients: dict[str, int], base_dir: Path) -> ReadTrace:
    """The requests of a trace; those without a prompt or an answer are left out, and told.

    Parameters
    ----------
    clients : row of each client by its id.

    Raises
    ------
    ScenarioError
        If the file cannot be used; every bad line is named, up to twenty.
    """
    path = base_dir / given.csv
    check_file(path, _FIELD)
    large = path.stat().st_size > MAX_BYTES
    with table(path, _FIELD) as source:
        found, warnings = _read(given, source, clients, path.name)
    content = _digest(found) if large else read_referenced(path, _FIELD)
    if len(found) < 2:
        message = f"{path.name} has fewer than two requests" + "".join(f" ({w})" for w in warnings)
        raise ScenarioError.single(_FIELD, message)
    found = sorted(found, key=lambda row: row.arrival_s)
    predicted = None
    if given.predicted_class is not None:
        tokens = np.array([row.output_tokens for row in found], dtype=np.int64)
        predicted = predicted_by_class(tokens, [row.label for row in found])
    return ReadTrace(
        requests=_scaled(_as_requests(found), given.rate_per_s),
        content=content,
        predicted=predicted,
        warnings=tuple(f"{_FIELD}: {path.name}: {text}" for text in (*source.notes, *warnings)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    arrival_s: float
    client: int
    prompt_tokens: int
    output_tokens: int
    label: str


def _digest(found: Sequence[_Row]) -> bytes:
    """What tells the rows of one trace from those of another."""
    digest = hashlib.sha256()
    for row in found:
        digest.update(repr(row).encode())
    return digest.digest()


def _read(
    given: schema.Trace, source: Table, clients: dict[str, int], name: str
) -> tuple[list[_Row], list[str]]:
    """The first ``max_requests`` requests in the order of the file, and what to say of them."""
    deal = _dealer(given, clients)
    header = source.header
    columns = [_find(header, group) for group in (ARRIVAL, PROMPT, OUTPUT)]
    own = header.index("client") if "client" in header else None
    said = None if given.predicted_class is None else _find(header, [given.predicted_class])
    read: Callable[[str], float] | None = None
    wrong: list[InputProblem] = []
    found: list[_Row] = []
    empty = [0, 0]
    for number, cells in source.rows:
        try:
            at, prompt, output = (cells[c].strip() for c in columns)
            if read is None:
                read = clock(at, _unit(given, header, columns[0]))
            tokens = token_count(prompt), token_count(output)
            arrival_s = read(at)
            if not abs(arrival_s) <= 1e12:
                raise ValueError(f"{at[:40]!r} is no time in seconds")
            if 0 in tokens:
                empty[tokens.index(0)] += 1
                continue
            client = cells[own] if own is not None and own < len(cells) else ""
            row = _Row(
                arrival_s=arrival_s,
                client=clients[client] if client else next(deal),
                prompt_tokens=tokens[0],
                output_tokens=tokens[1],
                label=cells[said] if said is not None else "",
            )
        except (ValueError, KeyError, IndexError, OverflowError) as error:
            wrong.append(InputProblem(_FIELD, f"{name} line {number}: {_why(error)}"))
            if len(wrong) == _MAX_LISTED:
                break
            continue
        if len(found) == MAX_REQUESTS:
            message = f"has more than {MAX_REQUESTS} requests: set max_requests"
            wrong.append(InputProblem(_FIELD, message))
            break
        found.append(row)
        if len(found) == given.max_requests:
            break
    if wrong:
        raise ScenarioError(wrong)
    return found, [*_assumed(given, header), *_left_out(empty, len(found))]


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"unknown client {error}"
    return "has too few columns" if isinstance(error, IndexError) else str(error)[:200]


def token_count(text: str) -> int:
    """A number of tokens; pandas writes whole numbers with a point where a column has gaps."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value.is_integer():
        raise ValueError(f"{text[:40]!r} is not a whole number")
    if not 0 <= value <= MAX_TOKENS:
        raise ValueError(f"{text[:40]} tokens are negative or absurd")
    return int(value)


def _left_out(empty: Sequence[int], kept: int) -> Iterator[str]:
    """A request without a prompt or an answer was cancelled or failed: nothing to serve."""
    for what, count in zip(("prompt tokens", "output tokens"), empty, strict=True):
        if count:
            total = kept + sum(empty)
            yield f"{count} of {total} requests have 0 {what} (failed or cancelled): left out"


def _folded(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _find(header: Sequence[str], names: Sequence[str]) -> int:
    folded = [_folded(name) for name in header]
    for name in names:
        if _folded(name) in folded:
            return folded.index(_folded(name))
    shown = ", ".join(header)[:200]
    public = " nor one that public traces have (docs/files.md)" if len(names) > 1 else ""
    raise ScenarioError.single(_FIELD, f"has no column {names[0]}{public}, only: {shown}")


def _unit(given: schema.Trace, header: Sequence[str], column: int) -> Unit | None:
    """Unit of the arrivals: as the scenario says, as the column's name ends, as Mooncake counts."""
    if given.arrival_unit is not None:
        return given.arrival_unit
    words = header[column].casefold().replace("_", " ").split()
    named = next((unit for unit in PER_S if words[1:] and words[-1] == unit), None)
    return named or ("ms" if _like_mooncake(header) else None)


def _like_mooncake(header: Sequence[str]) -> bool:
    folded = {_folded(name) for name in header}
    return folded >= _MOONCAKE and _ALIBABA not in folded


def _assumed(given: schema.Trace, header: Sequence[str]) -> Iterator[str]:
    """Mooncake's column names without its hashes may be anybody's."""
    if given.arrival_unit is None and _like_mooncake(header) and "hash_ids" not in header:
        yield "timestamp is read as ms, as Mooncake writes it; arrival_unit tells another unit"


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
