"""Tables of measured pairs: a matrix with names in the first row and column, or from, to, ms."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.content import FloatArray
from ..core.errors import InputProblem, ScenarioError
from .tables import Table, table

FIELD = "network.rtt_csv"
_MAX_MS = 1e7
_MAX_LISTED = 50
_MAX_TOLD = 10
_FROM = (
    "from",
    "source",
    "src",
    "a",
    "client",
    "host a",
    "src region",
    "source region",
    "src name",
)
_TO = ("to", "target", "dst", "destination", "b", "server", "host b", "dst region", "dst name")
#: A column of times begins with what they are and ends with their unit, in ms; either may do.
_KINDS = ("rtt", "latency", "ping", "delay")
_UNITS = {"ms": 1.0, "s": 1e3, "us": 1e-3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One client or server: what a table may call it, first match wins."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """What a table says of the machines of a scenario.

    Attributes
    ----------
    rtt_ms : (n, n) row = from; nan where the table has nothing.
    taken : names that were taken for others, told in any case.
    unknown : names of nobody, while somebody is not in the table.
    """

    rtt_ms: FloatArray
    taken: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """The cells of a table: (from, to, text, line), and the names on either side.

    Attributes
    ----------
    unit_ms : one of the table's units in ms.
    names_in : where a table of this form has its names, for a message.
    """

    sources: list[str]
    targets: list[str]
    cells: Iterable[tuple[str, str, str, int]]
    unit_ms: float
    names_in: str


def read_pairs(path: Path, machines: Sequence[Known]) -> Pairs:
    """Times between machines from a table of either form.

    A name may stand for several machines (those of one ``count``). Rows and columns of others are
    passed over.

    Raises
    ------
    ScenarioError
        If the table knows none of the machines, names one twice, or holds what is no time.
    """
    with table(path, FIELD) as source:
        columns = _long(source.header)
        found = _of_list(source, *columns) if columns else _of_matrix(source)
    froms, tos = _Axis(machines, found.sources), _Axis(machines, found.targets)
    everybody = {i for side in (froms, tos) for rows in side.rows.values() for i in rows}
    complete = len(everybody) == len(machines)
    unknown = tuple(dict.fromkeys((*froms.unknown(complete), *tos.unknown(complete))))
    if not froms.rows or not tos.rows:
        near = "; ".join(unknown)
        message = f"names no client or server in {found.names_in}" + (f": {near}" if near else "")
        raise ScenarioError.single(FIELD, message)
    return Pairs(
        rtt_ms=_filled(found, froms.rows, tos.rows, len(machines)),
        taken=tuple(dict.fromkeys((*froms.taken, *tos.taken))),
        unknown=unknown,
    )


def _filled(
    found: _Cells, froms: Mapping[str, list[int]], tos: Mapping[str, list[int]], n: int
) -> FloatArray:
    """(n, n) ms of the cells whose names stand for somebody."""
    rtt_ms = np.full((n, n), np.nan)
    wrong: list[InputProblem] = []
    seen: dict[tuple[str, str], tuple[float, int]] = {}
    for source, target, text, line in found.cells:
        rows, across = froms.get(source), tos.get(target)
        if rows is None or across is None or not text.strip():
            continue
        value = _ms(text, found.unit_ms)
        if rows == across and (len(rows) == 1 or not value):
            continue  # the diagonal; a count may give the time among its own machines there
        pair = f"{source!r} to {target!r}"
        if value is None:
            message = f"line {line}, {pair}: {text.strip()[:40]!r} is no time in ms"
            wrong.append(InputProblem(FIELD, message))
            continue
        first, at = seen.setdefault((source, target), (value, line))
        if first != value:
            message = (
                f"{pair} is given twice, {first:g} ms in line {at} and {value:g} in line {line}"
            )
            wrong.append(InputProblem(FIELD, f"{message}: keep one"))
        rtt_ms[np.ix_(rows, across)] = value
    if wrong:
        raise ScenarioError(list(dict.fromkeys(wrong))[:_MAX_LISTED])
    return rtt_ms


def _long(header: Sequence[str]) -> tuple[int, int, int, float] | None:
    """Columns of from, to and time, and the unit of the time in ms; None for a matrix."""
    plain = [" ".join(name.casefold().replace("_", " ").split()) for name in header]
    ends = [next((plain.index(n) for n in names if n in plain), None) for names in (_FROM, _TO)]
    times = {i: unit for i, name in enumerate(plain) if (unit := _unit_ms(name))}
    if ends[0] is None or ends[1] is None or not times:
        return None
    time = next(iter(times))
    return ends[0], ends[1], time, times[time]


def _unit_ms(name: str) -> float | None:
    """The unit of a column of times (``rtt``, ``latency_ms``, ``rtt avg ms``, ``ms``), in ms."""
    first, *_, last = (name or "-").split() * 2
    if first not in _KINDS and name not in _UNITS:
        return None
    return _UNITS.get(last, 1.0)


def _of_list(source: Table, a: int, b: int, time: int, unit_ms: float) -> _Cells:
    cells = []
    for line, row in source.rows:
        ends = [row[i].strip() if i < len(row) else "" for i in (a, b, time)]
        cells.append((ends[0], ends[1], ends[2], line))
    return _Cells(
        sources=[c[0] for c in cells],
        targets=[c[1] for c in cells],
        cells=cells,
        unit_ms=unit_ms,
        names_in="its columns of names",
    )


def _of_matrix(source: Table) -> _Cells:
    across = source.header[1:]
    for name in _repeated(across):
        raise ScenarioError.single(FIELD, f"names {name!r} twice in its first row: keep one column")
    lines = [(line, row[0].strip(), row[1:]) for line, row in source.rows]
    for name in _repeated(name for _, name, _ in lines):
        at = " and ".join(str(line) for line, other, _ in lines if other == name)
        message = f"names {name!r} twice in its first column, lines {at}: keep one row"
        raise ScenarioError.single(FIELD, message)
    return _Cells(
        sources=[name for _, name, _ in lines],
        targets=across,
        cells=(
            (name, column, text, line)
            for line, name, row in lines
            for column, text in zip(across, row, strict=False)
        ),
        unit_ms=1.0,
        names_in="its first row or in its first column",
    )


def _repeated(names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            yield name
        seen.add(name)


class _Axis:
    """Whom the names of one side of a table stand for.

    Attributes
    ----------
    rows : of the machines that a name stands for.
    taken : names that differ in case, accents or signs from what they are taken for.
    """

    def __init__(self, machines: Sequence[Known], names: Sequence[str]) -> None:
        here = dict.fromkeys(name for name in names if name)
        chosen = [next((n for n in m.names if n in here), None) for m in machines]
        meant: dict[str, set[str]] = {}
        for machine, name in zip(machines, chosen, strict=True):
            for own in machine.names if name is None else ():
                meant.setdefault(folded(own), set()).add(own)
        all_names = {name for m in machines for name in m.names}
        strange = [name for name in here if name not in all_names]
        spelt = [folded(name) for name in strange]
        same = {
            next(iter(meant[fold])): name
            for name, fold in zip(strange, spelt, strict=True)
            if len(meant.get(fold, ())) == 1 and spelt.count(fold) == 1
        }
        self.taken = tuple(f"{name!r} is taken for {own!r}" for own, name in same.items())
        chosen = [
            name or next((same[n] for n in m.names if n in same), None)
            for m, name in zip(machines, chosen, strict=True)
        ]
        self.rows: dict[str, list[int]] = {}
        for i, name in enumerate(chosen):
            if name is not None:
                self.rows.setdefault(name, []).append(i)
        lost = {
            n for m, name in zip(machines, chosen, strict=True) if name is None for n in m.names
        }
        self._lost = {folded(name): name for name in lost}
        self._used = {folded(name): name for name in all_names - lost}
        self._left = [name for name in strange if name not in self.rows]

    def unknown(self, complete: bool) -> tuple[str, ...]:
        """Names of nobody; where nobody is missing, those that are nearly somebody's."""
        told = [(name, self._hint(name)) for name in self._left]
        texts = [
            f"{name!r} is no client or server here{hint}"
            for name, hint in told
            if hint or not complete
        ]
        more = [f"nor are {len(texts) - _MAX_TOLD} more names"] if len(texts) > _MAX_TOLD else []
        return (*texts[:_MAX_TOLD], *more)

    def _hint(self, name: str) -> str:
        """Who may be meant."""
        fold = folded(name)
        if fold in self._used:
            return f"; {self._used[fold]!r} stands there too"
        near = difflib.get_close_matches(fold, self._lost, n=2, cutoff=0.7)
        return f"; did you mean {' or '.join(repr(self._lost[n]) for n in near)}?" if near else ""


def folded(name: str) -> str:
    """A name without case, accents, spaces and signs."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(c for c in plain if c.isalnum())


def _ms(text: str, unit_ms: float) -> float | None:
    try:
        value = float(text) * unit_ms
    except ValueError:
        return None
    return value if 0.0 <= value <= _MAX_MS else None
