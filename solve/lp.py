"""A linear programme that grows: HiGHS in this process, where a run begins at the last basis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.errors import SolverError
from .deadline import Deadline
from .highs import Silent
from .signals import Caught, held_back


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """An optimum: ``values`` and ``reduced`` costs by column, ``dual`` by row."""

    objective: float
    values: FloatArray
    reduced: FloatArray
    dual: FloatArray


class Lp:
    """Columns (never negative) and rows are added, columns are taken out; minimised."""

    def __init__(self) -> None:
        self._caught: Caught = []
        self._highs = Silent(presolve="off", solver="simplex", simplex_strategy=1)
        self._highs.setCallback(_stopper(self._caught), None)
        self._highs.startCallback(highspy.cb.HighsCallbackType.kCallbackSimplexInterrupt)

    @property
    def num_rows(self) -> int:
        """Rows so far."""
        return int(self._highs.getNumRow())

    @property
    def num_columns(self) -> int:
        """Columns there are."""
        return int(self._highs.getNumCol())

    def add_column(self, cost: float, entries: Mapping[int, float]) -> int:
        """A variable by its coefficients in the rows; its number."""
        self._highs.addCol(
            cost, 0.0, highspy.kHighsInf, len(entries), list(entries), list(entries.values())
        )
        return int(self._highs.getNumCol()) - 1

    def remove_columns(self, numbers: IntArray) -> None:
        """Take columns out; those behind them move up."""
        self._highs.deleteCols(len(numbers), numbers.astype(np.int32))

    def add_row(self, entries: Mapping[int, float], lower: float, upper: float) -> int:
        """A row by its coefficients in the columns; its number."""
        self._highs.addRow(lower, upper, len(entries), list(entries), list(entries.values()))
        return int(self._highs.getNumRow()) - 1

    def set_cost(self, column: int, cost: float) -> None:
        """Change what a column costs."""
        self._highs.changeColCost(column, cost)

    def set_open(self, column: int, *, is_open: bool) -> None:
        """Allow a column, or hold it at 0."""
        self._highs.changeColBounds(column, 0.0, highspy.kHighsInf if is_open else 0.0)

    def solve(self, deadline: Deadline) -> Solution | None:
        """The optimum, None when the deadline came first.

        Raises
        ------
        SolverError
            When there is none: the programme has no solution, or HiGHS fails.
        """
        highs = self._highs
        left_s = max(deadline.left_s(), 0.01)
        highs.setOptionValue("time_limit", highs.getRunTime() + left_s)
        self._run()
        status = highs.getModelStatus()
        if status == highspy.HighsModelStatus.kUnknown:  # lost in rounding: once more from nothing
            highs.clearSolver()
            self._run()
            status = highs.getModelStatus()
        if status == highspy.HighsModelStatus.kTimeLimit:
            return None
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolverError(f"HiGHS ended a linear programme with {status}")
        found = highs.getSolution()
        return Solution(
            objective=float(highs.getInfo().objective_function_value),
            values=np.array(found.col_value),
            reduced=np.array(found.col_dual),
            dual=np.array(found.row_dual),
        )

    def _run(self) -> None:
        """Run HiGHS; a signal ends the run, and begins it again if its handler does not raise."""
        while True:
            with held_back(self._caught):
                self._highs.run()
            if not self._caught:
                return


def _stopper(caught: Sequence[object]) -> Callable[..., None]:
    """HiGHS' callback at every step of the simplex; HiGHS keeps it alive, hence without ``Lp``."""

    def listen(_kind: Any, _message: str, _out: Any, into: Any, _data: Any) -> None:
        into.user_interrupt = bool(caught)

    return listen
