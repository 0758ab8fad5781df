"""State of a running search, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..core.objective import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a search stands."""

    elapsed_s: float
    objective: Objective


OnProgress = Callable[[Progress], None]
