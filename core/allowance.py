"""What requests may spend in the long run: energy and money."""

from __future__ import annotations

from dataclasses import dataclass

#: V of drift plus penalty and the length of a slot, unless told.
WEIGHT, SLOT_S = 8.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Budgets that hold on average, not at every instant; None = no such budget.

    Attributes
    ----------
    energy_w : power beyond that of idle servers.
    money_per_s : price of the servers for the time that they work, in the currency of their prices.
    weight : V: the mean time comes within a constant / V of the least, what is overdrawn grows in
        proportion to V.
    slot_s : so long budgets are kept before they count.
    """

    energy_w: float | None = None
    money_per_s: float | None = None
    weight: float = WEIGHT
    slot_s: float = SLOT_S
