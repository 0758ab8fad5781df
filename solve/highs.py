"""HiGHS itself: how it is kept silent, and what it is told of every programme."""

from __future__ import annotations

from typing import Any

import highspy
import numpy as np

from .programme import Programme


class Silent(highspy.Highs):
    """A HiGHS that prints nothing, on one thread; further options by name."""

    def __init__(self, **options: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for name, value in {"threads": 1, **options}.items():
            self.setOptionValue(name, value)

    def enableCallbacks(self) -> None:
        """Called first of all by the constructor, where it would print a banner (1.16)."""
        self.setOptionValue("output_flag", False)
        self.setOptionValue("log_to_console", False)


def lp_of(programme: Programme) -> Any:
    """The programme as HiGHS takes it."""
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(programme.cost), len(programme.row_lower)
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = programme.cost, programme.lower, programme.upper
    lp.row_lower_, lp.row_upper_ = programme.row_lower, programme.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = programme.starts.astype(np.int32)
    lp.a_matrix_.index_ = programme.columns.astype(np.int32)
    lp.a_matrix_.value_ = programme.values
    kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
    lp.integrality_ = [kinds[whole] for whole in programme.integer.tolist()]
    return lp
