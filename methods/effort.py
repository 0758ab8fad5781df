"""How much a search may do: so much work, whatever the machine is busy with, and a deadline behind.

Work is told in seconds of a quiet machine (``Rehearsed.effort_s``), so that equal seeds and limits
give equal plans; the clock ends a search only on machines that are much slower, or busy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..solve.deadline import Deadline


@dataclass(slots=True)
class Meter:
    """Seconds of work done so far (mutable: the search's record)."""

    spent_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of a search: from one reading of its meter to another.

    Attributes
    ----------
    begin_s, end_s : the readings.
    clock_s : seconds until the deadline when the part began.
    """

    meter: Meter
    begin_s: float
    end_s: float
    deadline: Deadline
    clock_s: float

    @classmethod
    def of(cls, meter: Meter, work_s: float, deadline: Deadline) -> Stretch:
        """The next so many seconds of work, until a deadline at the latest."""
        return cls(
            meter=meter,
            begin_s=meter.spent_s,
            end_s=meter.spent_s + max(work_s, 0.0),
            deadline=deadline,
            clock_s=deadline.left_s(),
        )

    @property
    def left_s(self) -> float:
        """Seconds of work that are left."""
        return self.end_s - self.meter.spent_s

    @property
    def gone(self) -> float:
        """How much of it is over, 0 to 1, by work or by the clock."""
        done = _share(self.meter.spent_s - self.begin_s, self.end_s - self.begin_s)
        return max(done, _share(self.clock_s - self.deadline.left_s(), self.clock_s))

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return self.gone >= 1.0

    def share(self, fraction: float) -> Stretch:
        """The first part of what is left."""
        return Stretch.of(self.meter, fraction * self.left_s, self.deadline.share(fraction))


def _share(part: float, whole: float) -> float:
    if math.isinf(whole):
        return 0.0
    return 1.0 if whole <= 0 else min(part / whole, 1.0)
