"""What precisions of blocks and of links cost in accuracy, and how much of that clients bear."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Sums of the same harms in another order differ by less than this.
SAME_HARM = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Harm of each block at each precision, of each hop by what its states go, and the budgets of a
    route.

    Harm adds over blocks; as a relative rise of the perplexity p it is ``100 ln(1 + p)``.

    Attributes
    ----------
    harm : (precision, (L,) of each block), each >= 0.
    budgets : (clients,) the most that the blocks and hops of a client's route may harm; inf = any.
    wire : (format, of a hop to a server and back), each >= 0.
    remark : whose figures these are.
    """

    harm: tuple[tuple[str, tuple[float, ...]], ...]
    budgets: tuple[float, ...]
    wire: tuple[tuple[str, float], ...] = ()
    remark: str = ""

    def __post_init__(self) -> None:
        for precision, each in self.harm:
            if not all(0 <= h < math.inf for h in each):
                raise ValueError(f"harm of {precision} must be finite and not negative")
        for wire, of_hop in self.wire:
            if not 0 <= of_hop < math.inf:
                raise ValueError(f"harm of {wire} must be finite and not negative")
        if not all(budget >= 0 for budget in self.budgets):
            raise ValueError(f"budgets must not be negative, got {self.budgets}")

    @property
    def limited(self) -> bool:
        """Whether some client does not bear everything."""
        return any(math.isfinite(budget) for budget in self.budgets)

    def check(self, precision: str, num_blocks: int) -> None:
        """Refuse a precision of which nothing is known, or of another number of blocks.

        Raises
        ------
        ValueError
            Which of the two.
        """
        if len(self.of(precision)) != num_blocks:
            raise ValueError(f"harm of {precision} must be given for {num_blocks} blocks")

    def of(self, precision: str) -> tuple[float, ...]:
        """(L,) harm of each block.

        Raises
        ------
        ValueError
            If nothing is known of that precision.
        """
        known = dict(self.harm)
        if precision not in known:
            raise ValueError(f"no harm of {precision!r} is known; there are {', '.join(known)}")
        return known[precision]

    def of_wire(self, wire: str) -> float:
        """Harm of a hop whose states go by a format; none where they go as they are.

        Raises
        ------
        ValueError
            If nothing is known of that format.
        """
        known = {"none": 0.0, **dict(self.wire)}
        if wire not in known:
            raise ValueError(f"no harm of a hop by {wire!r} is known; there are {', '.join(known)}")
        return known[wire]
