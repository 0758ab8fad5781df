"""What a second of delay counts of a session: what routers weigh one against the other by."""

from __future__ import annotations

from dataclasses import dataclass

#: How near to its limit a session's time per token has to come until a second of it counts more
#: and more, and what it counts before.
NEAR, LITTLE = 0.7, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """How much a second of a session counts.

    Attributes
    ----------
    weight : of a second; the unit is that of what is minimised.
    limit_s : between two tokens; as long as they come sooner, a second counts little. 0 = none.
    """

    weight: float = 1.0
    limit_s: float = 0.0
