"""When a search has to come to its end."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant of ``time.monotonic``; never, unless given."""

    at_s: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """So many seconds from now; None = never."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        """Seconds that are left, at least 0; infinite without a limit."""
        return max(0.0, self.at_s - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return time.monotonic() >= self.at_s

    def share(self, fraction: float) -> Deadline:
        """An earlier deadline: this share of the seconds that are left."""
        if math.isinf(self.at_s):
            return self
        return Deadline.after(fraction * self.left_s())


#: No limit.
NEVER = Deadline()
