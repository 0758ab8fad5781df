"""What a run of consecutive blocks costs at every server: bytes or seconds, by prefix sums.

Where all blocks of a server are alike one figure a server is kept, so that a request shape is an
array operation over servers; where they differ, the sums over the first q blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.content import ByContent, IntArray
from ..core.errors import SwarmplanError

#: A row, rows, or a slice of servers.
Rows = Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs(ByContent):
    """Cost of blocks ``[start, end)`` at a server; leading axes are kept.

    Attributes
    ----------
    length : blocks of the model, L.
    each : (..., n) cost of a block where all blocks of a server are alike, else None.
    sums : (..., n, L + 1) cost of the first q blocks where they are not, else None.
    """

    length: int
    each: NDArray[Any] | None = None
    sums: NDArray[Any] | None = None

    @classmethod
    def of(cls, blocks: Sequence[Sequence[float]] | NDArray[Any], dtype: type[Any]) -> Runs:
        """Runs of (n, L) figures block by block."""
        table = np.asarray(blocks, dtype=dtype)
        if (table == table[:, :1]).all():
            return cls(length=table.shape[1], each=table[:, 0].copy())
        sums = np.zeros((len(table), table.shape[1] + 1), dtype=dtype)
        np.cumsum(table, axis=1, out=sums[:, 1:])
        return cls(length=table.shape[1], sums=sums)

    @classmethod
    def stacked(cls, parts: Sequence[Runs]) -> Runs:
        """Runs with one row for each of the parts."""
        length = parts[0].length
        alike = [p.each for p in parts if p.each is not None]
        if len(alike) == len(parts):
            return cls(length=length, each=np.array(alike))
        return cls(length=length, sums=np.array([p.ramp(slice(None)) for p in parts]))

    @classmethod
    def least(cls, parts: Sequence[Runs]) -> Runs:
        """At every server the runs that take the least, block by block."""
        if len(parts) == 1:
            return parts[0]
        each = [p.each for p in parts if p.each is not None]
        if len(each) == len(parts):
            return cls(length=parts[0].length, each=np.minimum.reduce(each))
        blocks = [np.diff(p.ramp(slice(None)), axis=-1) for p in parts]
        return cls.of(np.minimum.reduce(blocks), np.float64)

    @property
    def alike(self) -> bool:
        """Whether a run costs the same wherever it lies."""
        return self.each is not None

    def __call__(self, server: Rows, start: Rows, end: Rows) -> Any:
        """Cost of blocks ``[start, end)`` at a server; arrays are broadcast."""
        each = self.each
        if each is not None:
            # The plain index is three times as fast; simulations ask often.
            return (each[server] if each.ndim == 1 else each[..., server]) * (end - start)
        assert self.sums is not None
        return self.sums[..., server, end] - self.sums[..., server, start]

    def ramp(self, server: Rows) -> NDArray[Any]:
        """(..., L + 1) cost of the first 0..L blocks: a run costs the difference of two entries."""
        if self.each is not None:
            ramp: NDArray[Any] = self.each[..., server, None] * np.arange(self.length + 1)
            return ramp
        assert self.sums is not None
        return self.sums[..., server, :]

    def kinds(self, servers: IntArray) -> list[bytes]:
        """Of each server, what is equal for those where every run costs the same."""
        table = self.each if self.each is not None else self.sums
        assert table is not None
        axis = -1 if self.each is not None else -2
        rows = np.ascontiguousarray(np.moveaxis(table, axis, 0)[servers])
        return [row.tobytes() for row in rows]

    def linear(self, server: int, count: Any) -> Any:
        """Cost of ``count`` blocks, a number or an expression of a programme.

        Raises
        ------
        SwarmplanError
            If the blocks differ: then no linear programme can tell what so many of them cost.
        """
        if self.each is None:
            raise SwarmplanError(
                "the mixed-integer programme knows equal blocks only; use method exact or search"
            )
        return self.each[server].item() * count

    def typical(self, server: Rows, count: Rows) -> NDArray[Any]:
        """Cost of ``count`` blocks at servers, where blocks differ the mean over all places."""
        if self.each is not None:
            found: NDArray[Any] = self.each[..., server] * count
            return found
        mean: NDArray[Any] = self._windows(np.mean)[..., server, count]
        return mean

    def heaviest(self) -> NDArray[Any]:
        """(..., n, L + 1) the most that 0..L consecutive blocks cost, wherever they lie."""
        return self._windows(np.max)

    def lightest(self) -> NDArray[Any]:
        """(..., n, L + 1) the least that 0..L consecutive blocks cost, wherever they lie."""
        return self._windows(np.min)

    def _windows(self, pick: Any) -> NDArray[Any]:
        if self.each is not None:
            return self.ramp(slice(None))
        assert self.sums is not None
        found = np.zeros(self.sums.shape)
        for count in range(1, self.length + 1):
            windows = self.sums[..., count:] - self.sums[..., :-count]
            found[..., count] = pick(windows, axis=-1)
        return found

    def dearest_block(self) -> NDArray[Any]:
        """(..., n) the most that one block costs."""
        if self.each is not None:
            return self.each
        found: NDArray[Any] = np.diff(self.ramp(slice(None)), axis=-1).max(axis=-1)
        return found

    def cheapest_block(self) -> NDArray[Any]:
        """(..., n) the least that one block costs."""
        if self.each is not None:
            return self.each
        found: NDArray[Any] = np.diff(self.ramp(slice(None)), axis=-1).min(axis=-1)
        return found

    def within(self, which: NDArray[np.bool_]) -> Runs:
        """Runs of some of the blocks, each as cheap as the cheapest of them."""
        count = int(which.sum())
        if self.each is not None:
            return Runs(length=count, each=self.each)
        steps = np.diff(self.ramp(slice(None)), axis=-1)
        return Runs(length=count, each=steps[..., which].min(axis=-1))

    def outside(self, which: NDArray[np.bool_], usable: NDArray[np.bool_]) -> NDArray[Any]:
        """(...,) the least that all other blocks cost, each at its cheapest usable server.

        Parameters
        ----------
        usable : (..., n) where runs are possible.
        """
        steps = np.diff(self.ramp(slice(None)), axis=-1)[..., ~which]
        least = np.where(usable[..., None], steps, np.inf).min(axis=-2, initial=np.inf)
        whole: NDArray[Any] = least.sum(axis=-1)
        return whole

    def least_share(self, rows: Rows, hop: NDArray[Any], most: NDArray[Any]) -> NDArray[Any]:
        """(rows,) the least a block costs at servers that run at most so many for one hop.

        No chain undercuts ``hop / most`` and the cheapest block; inf where ``most`` is 0.
        """
        spread = np.divide(hop, most, out=np.full(len(most), np.inf), where=most > 0)
        least: NDArray[Any] = spread + self.cheapest_block()[..., rows]
        return least

    def at_most(self, usable: NDArray[np.bool_]) -> NDArray[Any]:
        """(...,) the most that all blocks cost when each runs at its dearest usable server.

        Parameters
        ----------
        usable : (..., n) where runs are possible.
        """
        if self.each is not None:
            worst = np.where(usable, self.each, 0.0).max(axis=-1, initial=0.0)
            total: NDArray[Any] = self.length * worst
            return total
        steps = np.where(usable[..., None], np.diff(self.ramp(slice(None)), axis=-1), 0.0)
        whole: NDArray[Any] = steps.max(axis=-2, initial=0.0).sum(axis=-1)
        return whole

    def scaled(self, factor: NDArray[Any]) -> Runs:
        """(rows, n) runs, each row ``factor`` times these."""
        if self.each is not None:
            return Runs(length=self.length, each=self.each * factor[:, None])
        assert self.sums is not None
        return Runs(length=self.length, sums=self.sums * factor[:, None, None])

    def plus(self, other: Runs, times: float = 1.0) -> Runs:
        """These runs and ``times`` the others."""
        if self.each is not None and other.each is not None:
            return Runs(length=self.length, each=self.each + times * other.each)
        every = slice(None)
        return Runs(length=self.length, sums=self.ramp(every) + times * other.ramp(every))

    def times(self, factor: NDArray[Any] | float) -> Runs:
        """(..., n) runs, at every server so many times these."""
        if self.each is not None:
            return Runs(length=self.length, each=factor * self.each)
        return Runs(length=self.length, sums=np.asarray(factor)[..., None] * self.ramp(slice(None)))

    def at(self, rows: Rows) -> Runs:
        """The runs of some servers."""
        if self.each is not None:
            return Runs(length=self.length, each=self.each[..., rows])
        assert self.sums is not None
        return Runs(length=self.length, sums=self.sums[..., rows, :])
