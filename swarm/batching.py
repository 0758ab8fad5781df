"""What a server tells of running the waiting steps of several sessions as one pass.

``swarm serve --batch-steps`` announces it beside PETALS' own fields; whoever reads it takes only
what is plausible. Plain Python.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: The field of an announcement. PETALS ignores fields that it does not know.
FIELD = "batch_steps"
#: No curve tells of more rows, or has more points.
MOST_ROWS, MOST_POINTS = 1024, 16
MOST_COUNTED = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How much longer a pass of several sessions takes, and what came of it so far.

    Attributes
    ----------
    curve : (tokens, time of a pass by that of a step of one), both rising from (1, 1), which is
        left out; measured by the server on its own blocks.
    steps, passes : decode steps, and the passes that they took.
    joined : steps that shared their pass with others.
    largest : most sessions of a pass.
    fallbacks : steps of passes that failed as a whole and were done again one by one.
    """

    curve: tuple[tuple[int, float], ...]
    steps: int = 0
    passes: int = 0
    joined: int = 0
    largest: int = 0
    fallbacks: int = 0

    @property
    def mean(self) -> float:
        """Sessions of a pass on average, 0 before the first."""
        return self.steps / self.passes if self.passes else 0.0

    def told(self) -> dict[str, Any]:
        """The field of an announcement."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        return {"curve": [list(point) for point in self.curve], **counts}


_COUNTS = ("steps", "passes", "joined", "largest", "fallbacks")


def read_batching(told: object) -> Batching | None:
    """What is announced; None unless all of it is plausible.

    A pass takes no less than one session's step, no more than all of them one by one, and with more
    sessions no less.
    """
    if not isinstance(told, Mapping) or not isinstance(told.get("curve"), list | tuple):
        return None
    curve = told["curve"]
    counts = [told.get(name, 0) for name in _COUNTS]
    if not 1 <= len(curve) <= MOST_POINTS or not all(map(_is_count, counts)):
        return None
    points = [(1, 1.0)]
    for point in curve:
        if not isinstance(point, list | tuple) or len(point) != 2:
            return None
        rows, times = point
        if not (_is_count(rows) and _is_plain(times)):
            return None
        if not (points[-1][0] < rows <= MOST_ROWS and points[-1][1] <= times <= rows):
            return None
        points.append((rows, float(times)))
    return Batching(curve=tuple(points[1:]), **dict(zip(_COUNTS, counts, strict=True)))


def _is_plain(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= MOST_COUNTED and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_COUNTED
