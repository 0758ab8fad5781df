"""A long column of few distinct values, kept as small numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from .content import IntArray

T = TypeVar("T")


class Coded(Sequence[T], Generic[T]):
    """A read-only sequence whose items stand in ``values``, told apart by ``code``.

    Equal to every sequence with the same items.

    Parameters
    ----------
    values : the distinct items. code : (N,) the position of each item among them; it is kept, not
        copied, and becomes read-only.
    """

    __slots__ = ("code", "values")

    def __init__(self, values: Sequence[T], code: NDArray[Any]) -> None:
        self.values = tuple(values)
        self.code = code
        code.setflags(write=False)

    def __len__(self) -> int:
        return len(self.code)

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> Coded[T]: ...

    def __getitem__(self, at: int | slice) -> T | Coded[T]:
        if isinstance(at, slice):
            return Coded(self.values, self.code[at])
        found: T = self.values[int(self.code[at])]
        return found

    def __iter__(self) -> Iterator[T]:
        return (self.values[code] for code in self.code)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str) or not isinstance(other, Sequence):
            return NotImplemented
        if len(self) != len(other):
            return False
        return all(a == b for a, b in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Coded({list(self)!r})" if len(self) <= 20 else f"Coded(of {len(self)} items)"


def where(column: Sequence[T], *items: T) -> NDArray[np.bool_]:
    """(N,) where one of some items stands."""
    return figures(column, lambda item: item in items) > 0


def figures(column: Sequence[T], figure: Callable[[T], int]) -> IntArray:
    """(N,) a whole number of each item; asked once for each distinct one where they are known."""
    if not isinstance(column, Coded):
        return np.array([figure(item) for item in column], dtype=np.int64)
    each = np.array([figure(item) for item in column.values], dtype=np.int64)
    found: IntArray = each[column.code]
    return found
