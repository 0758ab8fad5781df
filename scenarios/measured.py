"""Measured round-trip times: a matrix in the file, a CSV, a table between regions."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.content import FloatArray
from ..core.errors import InputProblem, ScenarioError
from . import schema
from .files import read_referenced
from .pairs import FIELD, Known, folded, read_pairs

#: Directions of a pair that differ by more than both were measured apart.
_NOISE, _NOISE_S = 0.1, 0.5e-3
#: No round trip takes so long: another unit.
_LONG_S = 10.0
_MAX_TOLD = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A client or server: its field in the file, its own id, and what the file says."""

    where: str
    id: str
    given: schema.Client | schema.Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Measured times.

    Attributes
    ----------
    rtt_s : (N, N) seconds, row = from; nan where nothing was measured.
    pair : (N, N) where the pair itself was measured, last miles included.
    warnings : what should be said.
    hints : what may explain a missing time.
    """

    rtt_s: FloatArray
    pair: NDArray[np.bool_]
    warnings: tuple[str, ...]
    hints: tuple[InputProblem, ...]


def measured_rtt_s(
    given: schema.Network, ends: Sequence[End], base_dir: Path, referenced: list[bytes]
) -> Measured:
    """Times between all clients and servers, as far as they were measured.

    Pairs first, then the other direction of the pair, then the table between regions.
    ``referenced`` receives the bytes of the CSV.

    Raises
    ------
    ScenarioError
        If no measurement is given, or one is not a time.
    """
    if given.rtt_ms is None and given.rtt_csv is None and given.region_rtt_ms is None:
        raise ScenarioError.single(
            "network.delay", "measured needs rtt_ms, rtt_csv or region_rtt_ms"
        )
    if given.rtt_ms is not None and given.rtt_csv is not None:
        raise ScenarioError.single("network.rtt_csv", "give rtt_ms or rtt_csv, not both")
    rtt = np.full((len(ends), len(ends)), np.nan)
    warnings: list[str] = []
    hints: list[InputProblem] = []
    if given.rtt_ms is not None:
        rtt = _matrix(given.rtt_ms, len(ends))
    elif given.rtt_csv is not None:
        referenced.append(read_referenced(base_dir / given.rtt_csv, FIELD))
        rtt = _from_table(base_dir / given.rtt_csv, ends, warnings, hints)
    warnings += _odd(rtt, ends)
    rtt = np.where(np.isnan(rtt), rtt.T, rtt)
    pair = ~np.isnan(rtt)
    if given.region_rtt_ms is not None:
        rtt = np.where(pair, rtt, _by_region(given.region_rtt_ms, ends, warnings, hints))
    return Measured(rtt_s=rtt, pair=pair, warnings=tuple(warnings), hints=tuple(hints))


def _matrix(rows: list[list[float | None]], n: int) -> FloatArray:
    if len(rows) != n or any(len(r) != n for r in rows):
        raise ScenarioError.single(
            "network.rtt_ms",
            f"must be {n} x {n}: the clients, then the servers (count unrolled), in file order",
        )
    return np.array(rows, dtype=np.float64) / 1e3  # None becomes nan


def _from_table(
    path: Path, ends: Sequence[End], warnings: list[str], hints: list[InputProblem]
) -> FloatArray:
    """(N, N) seconds of a file of pairs."""
    clients = {e.id for e in ends if isinstance(e.given, schema.Client)}
    both = sorted(clients & {e.id for e in ends if isinstance(e.given, schema.Server)})
    if both:
        message = f"cannot tell the client and the server {both[0]!r}: rename one"
        raise ScenarioError.single(FIELD, message)
    found = read_pairs(path, [Known(names=_names(e)) for e in ends])
    warnings += [f"{FIELD}: {text}" for text in (*found.taken, *found.unknown)]
    hints += [InputProblem(FIELD, text) for text in found.unknown]
    rtt = found.rtt_ms / 1e3
    for i, j in _side_by_side(ends):
        rtt[i, j] = rtt[j, i] = 0.0
    return rtt


def _side_by_side(ends: Sequence[End]) -> Iterator[tuple[int, int]]:
    """Machines that were put where another one is measured."""
    by_name: dict[str, list[int]] = {}
    for i, end in enumerate(ends):
        for name in _names(end)[:1]:
            by_name.setdefault(name, []).append(i)
    for rows in by_name.values():
        yield from ((i, j) for i in rows for j in rows if i < j)


def _names(end: End) -> tuple[str, ...]:
    """What a table may call a machine; those of one ``count`` may share their common id."""
    if isinstance(end.given, schema.Server) and end.given.rtt_as is not None:
        return tuple(end.given.rtt_as)
    return tuple(dict.fromkeys((end.id, end.given.id)))


def _odd(rtt: FloatArray, ends: Sequence[End]) -> Iterator[str]:
    """Measured times that contradict each other or that no network has; once for each ``count``."""
    names = [e.given.id for e in ends]
    with np.errstate(invalid="ignore"):
        apart = np.abs(rtt - rtt.T) > np.maximum(_NOISE_S, _NOISE * np.fmin(rtt, rtt.T))
        long = rtt > _LONG_S
    told = [
        f"RTT {a} - {b} is {there * 1e3:g} ms, {b} - {a} is {back * 1e3:g} ms: a round trip has "
        "one time; each is used in its own direction"
        for a, b, there, back in dict.fromkeys(
            (names[i], names[j], rtt[i, j], rtt[j, i]) for i, j in np.argwhere(np.triu(apart))
        )
    ]
    told += dict.fromkeys(
        f"RTT {names[i]} - {names[j]} is {rtt[i, j] * 1e3:g} ms: times are in ms"
        for i, j in np.argwhere(long)
    )
    yield from told[:_MAX_TOLD]
    if len(told) > _MAX_TOLD:
        yield f"and {len(told) - _MAX_TOLD} more odd round-trip times"


def _by_region(
    table: dict[str, dict[str, float]],
    ends: Sequence[End],
    warnings: list[str],
    hints: list[InputProblem],
) -> FloatArray:
    """(N, N) seconds between the regions of both ends, either direction of the table.

    A table may know more regions than the scenario has; while one of its own is missing, that may
    be a misspelling, and is told.
    """
    regions = sorted({e.given.region for e in ends})
    known = set(table) | {name for row in table.values() for name in row}
    lost = [name for name in regions if name and name not in known]
    for name in sorted(known - set(regions)) if lost else ():
        near = difflib.get_close_matches(folded(name), [folded(x) for x in lost], n=1, cutoff=0.5)
        meant = [x for x in lost if folded(x) in near]
        text = f"no client or server is in region {name!r}"
        text += f"; did you mean {meant[0]!r}?" if meant else ""
        warnings.append(f"network.region_rtt_ms.{name}: {text}")
        hints.append(InputProblem(f"network.region_rtt_ms.{name}", text))
    between = np.array(
        [
            [table.get(a, {}).get(b, table.get(b, {}).get(a, np.nan)) for b in regions]
            for a in regions
        ]
    )
    warnings += _disagreeing(table)
    rows = np.array([regions.index(e.given.region) for e in ends])
    rtt: FloatArray = between[np.ix_(rows, rows)] / 1e3
    return rtt


def _disagreeing(table: dict[str, dict[str, float]]) -> Iterator[str]:
    """Regions whose two directions differ."""
    for a, row in table.items():
        for b, ms in row.items():
            back = table.get(b, {}).get(a)
            if (
                a < b
                and back is not None
                and abs(ms - back) > max(_NOISE_S * 1e3, _NOISE * min(ms, back))
            ):
                yield (
                    f"network.region_rtt_ms: {a} - {b} is {ms:g} ms, {b} - {a} is {back:g} ms: a "
                    "round trip has one time; each is used in its own direction"
                )
