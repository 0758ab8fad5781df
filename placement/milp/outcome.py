"""What a solver run is asked for and what comes back, whichever solver it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """State of a running solver; objective and bound in the units of the plan's certificate."""

    elapsed_s: float
    objective: float | None
    bound: float | None

    @property
    def gap(self) -> float | None:
        """``(objective - bound) / objective``, None while either is unknown."""
        if self.objective is None or self.bound is None:
            return None
        return max(0.0, (self.objective - self.bound) / self.objective) if self.objective else 0.0


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to stop, and the seed."""

    time_s: float | None
    gap: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of one run, in the programme's own units.

    Attributes
    ----------
    state : ``optimal`` = proven within the gap asked for; ``feasible`` = stopped with a solution;
        ``infeasible`` = proven; ``nothing`` = stopped without a solution.
    values : value by variable name, None without a solution.
    bound : proven lower bound, None when the solver gives none.
    interrupted : stopped by Ctrl-C.
    """

    state: Literal["optimal", "feasible", "infeasible", "nothing"]
    values: dict[str, float] | None = None
    bound: float | None = None
    interrupted: bool = False
