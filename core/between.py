"""Round trips between servers: a matrix, or what works them out when they are asked for."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from .content import FloatArray, IntArray

#: Servers for which all pairs are held; of more they are worked out when they are asked for.
MOST_HELD = 3_000
#: Rows that are looked at together where all pairs are.
ROWS = 256


@runtime_checkable
class PairTimes(Protocol):
    """(n, n) seconds, row = from, indexed as a matrix is; all of them are never there at once.

    Equal when the content is equal, and hashable.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, at: Any) -> Any:
        """Single pairs, rows, or a part (``numpy.ix_``)."""
        ...

    def __array__(self, dtype: Any = None, copy: Any = None) -> FloatArray:
        """All of them after all, for swarms that are small enough."""
        ...

    def __mul__(self, factor: float) -> PairTimes:
        """All of them times a factor."""
        ...

    def part(self, rows: IntArray) -> PairTimes:
        """Those between some of the machines."""
        ...


#: Times between all pairs.
Between = FloatArray | PairTimes


def nearest_s(between: Between) -> FloatArray:
    """(n,) the shortest time to each machine from any other one; inf for a single one."""
    count = len(between)
    nearest: FloatArray = np.full(count, np.inf)
    for first in range(0, count, ROWS):
        rows = np.arange(first, min(first + ROWS, count))
        times = np.array(between[np.ix_(rows, np.arange(count))])
        times[rows - first, rows] = np.inf
        np.minimum(nearest, times.min(axis=0), out=nearest)
    return nearest
