"""What a solver of mixed-integer programmes returns, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..core.content import FloatArray

State = Literal["optimal", "feasible", "infeasible", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """Result of one run, in the programme's own unit.

    Attributes
    ----------
    state : ``optimal`` = proven within the gap asked for; ``feasible`` = stopped with a solution;
        ``infeasible`` = proven; ``nothing`` = stopped without a solution.
    values : (n,) the best solution, None without one.
    bound : proven lower bound, None when the solver gives none.
    interrupted : stopped by Ctrl-C.
    """

    state: State
    values: FloatArray | None = None
    bound: float | None = None
    interrupted: bool = False
