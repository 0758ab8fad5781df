"""What a method tells while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where objective and bound stand, in the unit of whoever tells it; None = not known yet."""

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
