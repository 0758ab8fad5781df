"""When to stop: an instant that is passed on, so that nobody has to count what others have used."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant of ``time.monotonic``; without one there is no limit.

    Attributes
    ----------
    limit_s : the seconds that were asked for, to be told.
    """

    at_s: float = math.inf
    limit_s: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """So many seconds from now; None = never."""
        return cls() if seconds is None else cls(time.monotonic() + seconds, seconds)

    def left_s(self) -> float:
        """Seconds until then, below 0 afterwards; inf without a limit."""
        return self.at_s - time.monotonic()

    def later(self, seconds: float) -> Deadline:
        """The same, so many seconds later."""
        return Deadline(self.at_s + seconds, self.limit_s)

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return self.left_s() <= 0

    def share(self, fraction: float) -> Deadline:
        """The end of a part of what is left."""
        left_s = self.left_s()
        if math.isinf(left_s):
            return self
        return Deadline(time.monotonic() + fraction * max(left_s, 0.0), self.limit_s)


#: No limit.
NEVER = Deadline()
