"""A mixed-integer programme as arrays, and how to write one down row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..core.content import FloatArray, IntArray

#: A row or an integer may be off by this much (HiGHS' own tolerance).
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Programme:
    """Least ``cost @ x`` with ``lower <= x <= upper`` and ``row_lower <= A x <= row_upper``.

    Attributes
    ----------
    cost, lower, upper : (n,); infinite bounds are none.
    integer : (n,) whether the variable is whole.
    row_lower, row_upper : (m,).
    starts, columns, values : A by rows: row i has ``values[starts[i] : starts[i + 1]]`` at
        ``columns[starts[i] : starts[i + 1]]``; (m + 1,), (entries,), (entries,).
    """

    cost: FloatArray
    lower: FloatArray
    upper: FloatArray
    integer: NDArray[np.bool_]
    row_lower: FloatArray
    row_upper: FloatArray
    starts: IntArray
    columns: IntArray
    values: FloatArray

    def objective(self, x: FloatArray) -> float:
        """What a solution costs."""
        return float(self.cost @ x)

    def accepts(self, x: FloatArray) -> bool:
        """Whether a solution meets all bounds and rows and is whole where it must be."""
        row_of = np.repeat(np.arange(len(self.row_lower)), np.diff(self.starts))
        rows = np.bincount(row_of, self.values * x[self.columns], len(self.row_lower))
        off = np.concatenate(
            [
                self.lower - x,
                x - self.upper,
                self.row_lower - rows,
                rows - self.row_upper,
                np.abs(x - x.round())[self.integer],
            ]
        )
        return bool((off <= TOLERANCE).all())


@dataclass(slots=True)
class Builder:
    """A programme that grows by variables and rows."""

    _cost: list[float] = field(default_factory=list)
    _lower: list[float] = field(default_factory=list)
    _upper: list[float] = field(default_factory=list)
    _integer: list[bool] = field(default_factory=list)
    _row_lower: list[float] = field(default_factory=list)
    _row_upper: list[float] = field(default_factory=list)
    _starts: list[int] = field(default_factory=lambda: [0])
    _columns: list[int] = field(default_factory=list)
    _values: list[float] = field(default_factory=list)

    @property
    def num_variables(self) -> int:
        """Variables so far."""
        return len(self._cost)

    @property
    def num_rows(self) -> int:
        """Rows so far."""
        return len(self._row_lower)

    def variable(
        self,
        cost: float = 0.0,
        *,
        lower: float = 0.0,
        upper: float = math.inf,
        integer: bool = False,
    ) -> int:
        """A variable; its column."""
        self._cost.append(cost)
        self._lower.append(lower)
        self._upper.append(upper)
        self._integer.append(integer)
        return len(self._cost) - 1

    def row(
        self, entries: Mapping[int, float], *, lower: float = -math.inf, upper: float = math.inf
    ) -> None:
        """A row: coefficients by column, and what their sum may be."""
        self._row_lower.append(lower)
        self._row_upper.append(upper)
        self._columns.extend(entries)
        self._values.extend(entries.values())
        self._starts.append(len(self._columns))

    def programme(self) -> Programme:
        """The programme as it stands."""
        return Programme(
            cost=np.array(self._cost, dtype=np.float64),
            lower=np.array(self._lower, dtype=np.float64),
            upper=np.array(self._upper, dtype=np.float64),
            integer=np.array(self._integer, dtype=np.bool_),
            row_lower=np.array(self._row_lower, dtype=np.float64),
            row_upper=np.array(self._row_upper, dtype=np.float64),
            starts=np.array(self._starts, dtype=np.int64),
            columns=np.array(self._columns, dtype=np.int64),
            values=np.array(self._values, dtype=np.float64),
        )
