"""Many requests as columns: a million of them take no more than the numbers they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from .content import IntArray
from .workload import Request

#: Numbers of a request that are kept; token counts and rows are far below the limit of 32 bits.
COUNTS = ("id", "client", "prompt_tokens", "output_tokens", "reserved_tokens")

#: Rows that are looked at together: so many, that nothing of all rows is copied.
ROWS = 65_536

#: Requests that are made at a time where all are asked for.
TOGETHER = 1_024


class Requests(Sequence[Request]):
    """Requests of which nothing is expected but what they reserve, each made when it is asked for.

    Equal to every sequence of the same requests.

    Parameters
    ----------
    counts : (N,) columns by the names of ``COUNTS``.
    arrival_s : (N,) seconds.
    acceptance : of drafts, by kind of request; kind : (N,) which one each is of, None = all of the
        first.
    """

    def __init__(
        self,
        *,
        counts: dict[str, NDArray[np.int32]],
        arrival_s: NDArray[np.float64],
        acceptance: Sequence[tuple[float, ...]] = ((),),
        kind: NDArray[np.int32] | None = None,
    ) -> None:
        self._counts, self._arrival_s = counts, arrival_s
        self._acceptance, self._kind = tuple(acceptance), kind
        for column in counts.values():
            column.setflags(write=False)
        arrival_s.setflags(write=False)

    def column(self, name: str) -> NDArray[Any]:
        """(N,) one of ``COUNTS``, or ``arrival_s``."""
        return self._arrival_s if name == "arrival_s" else self._counts[name]

    def __len__(self) -> int:
        return len(self._arrival_s)

    @overload
    def __getitem__(self, at: int) -> Request: ...

    @overload
    def __getitem__(self, at: slice) -> Requests: ...

    def __getitem__(self, at: int | slice) -> Request | Requests:
        if isinstance(at, slice):
            return Requests(
                counts={name: column[at] for name, column in self._counts.items()},
                arrival_s=self._arrival_s[at],
                acceptance=self._acceptance,
                kind=None if self._kind is None else self._kind[at],
            )
        return self.taken(np.array([at]))[0]

    def taken(self, rows: IntArray) -> list[Request]:
        """Those of some rows."""
        counts = [self._counts[name][rows].tolist() for name in COUNTS]
        kind = [0] * len(rows) if self._kind is None else self._kind[rows].tolist()
        each = zip(self._arrival_s[rows].tolist(), kind, *counts, strict=True)
        return [
            Request(
                id=number,
                client=client,
                arrival_s=arrival_s,
                prompt_tokens=prompt,
                output_tokens=output,
                reserved_tokens=reserved,
                acceptance=self._acceptance[which],
            )
            for arrival_s, which, number, client, prompt, output, reserved in each
        ]

    def __iter__(self) -> Iterator[Request]:
        for first in range(0, len(self), TOGETHER):
            yield from self.taken(np.arange(first, min(first + TOGETHER, len(self))))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        if len(self) != len(other):
            return False
        return all(a == b for a, b in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Requests({len(self)} of them)"


def compact(values: NDArray[Any]) -> NDArray[Any]:
    """A column, read-only, that takes no memory where all requests have the same number."""
    if len(values) and (values == values[0]).all():
        return np.broadcast_to(values[:1].copy(), len(values))
    return values


def taken(requests: Sequence[Request], rows: IntArray) -> list[Request]:
    """Those of some rows."""
    if isinstance(requests, Requests):
        return requests.taken(rows)
    return [requests[row] for row in rows.tolist()]


def column(requests: Sequence[Request], name: str) -> NDArray[Any]:
    """(N,) a number of each request, read-only: one of ``COUNTS``, or ``arrival_s``; no copy where
    it is there."""
    if isinstance(requests, Requests):
        return requests.column(name)
    dtype = np.float64 if name == "arrival_s" else np.int64
    found = np.array([getattr(r, name) for r in requests], dtype=dtype)
    found.setflags(write=False)
    return found


def by_arrival(arrival_s: NDArray[np.float64]) -> Sequence[int] | IntArray:
    """Rows in order of arrival; equal ones stay in their order."""
    if (arrival_s[1:] >= arrival_s[:-1]).all():
        return range(len(arrival_s))
    order: IntArray = np.argsort(arrival_s, kind="stable")
    return order


def distinct(columns: Sequence[NDArray[Any]]) -> tuple[IntArray, IntArray]:
    """(S, columns) distinct rows of some columns of whole numbers, sorted, and how often each is
    there."""
    parts = [np.unique(rows, axis=0, return_counts=True) for rows in _by_parts(columns)]
    if not parts:
        return np.zeros((0, len(columns)), np.int64), np.zeros(0, np.int64)
    found, which = np.unique(np.concatenate([p[0] for p in parts]), axis=0, return_inverse=True)
    counts = np.zeros(len(found), np.int64)
    np.add.at(counts, which.reshape(-1), np.concatenate([p[1] for p in parts]))
    return found, counts


def positions(columns: Sequence[NDArray[Any]], rows: IntArray) -> IntArray:
    """(N,) where each row of some columns stands among few distinct ones."""
    at = {tuple(row): i for i, row in enumerate(rows.tolist())}
    found = np.empty(len(columns[0]), np.int64)
    for part, own in enumerate(_by_parts(columns)):
        values, which = np.unique(own, axis=0, return_inverse=True)
        known = np.array([at[tuple(row)] for row in values.tolist()])
        found[part * ROWS : part * ROWS + len(own)] = known[which.reshape(-1)]
    return found


def _by_parts(columns: Sequence[NDArray[Any]]) -> Iterator[IntArray]:
    """Some rows at a time."""
    for first in range(0, len(columns[0]), ROWS):
        yield np.column_stack([c[first : first + ROWS] for c in columns]).astype(np.int64)
