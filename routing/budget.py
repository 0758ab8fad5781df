"""Long-term budgets: what a slot spends of them is priced by how far they are overdrawn.

Drift plus penalty, docs/model.md 13: a budget is a virtual queue of what was spent beyond what was
allowed; a slot minimises ``weight`` times its cost plus every queue times what it spends. For
money, energy, or a client's share; memory is no budget, it is hard in every slot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ..core.content import ByContent, FloatArray, IntArray
from .slot import WAIT, Value

Chain = TypeVar("Chain")
#: Rounds in which a product of costs is made linear.
ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be spent per slot on average, in any unit.

    Attributes
    ----------
    backlog : spent beyond it so far; never negative: what was not spent is not saved up.
    """

    allowed: float
    backlog: float = 0.0

    def after(self, spent: float) -> Budget:
        """The budget after a slot that spent so much."""
        return replace(self, backlog=max(self.backlog + spent - self.allowed, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Budgeted(ByContent):
    """The value of a slot under budgets.

    Attributes
    ----------
    value : without them. weight : V, how much a second of it counts: mean cost comes within a
        constant / V of the least, backlogs grow in proportion to V.
    prices : (R, P) of each request on each chain: what it spends of every budget, times the
        backlog of that.
    """

    value: Value
    weight: float
    prices: FloatArray

    def __call__(self, choice: IntArray) -> float:
        """The cost of an assignment."""
        on = np.flatnonzero(choice != WAIT)
        return self.weight * self.value(choice) + float(self.prices[on, choice[on]].sum())


def least_product(
    cheapest: Callable[[float, float], tuple[Chain, float, float]],
) -> tuple[Chain, float]:
    """A chain of little time x (1 + share), and that product.

    What is paid for as long as a session lasts (memory, watts) costs a product, which links do not
    add up to. So it is made linear where the last chain was, a few times over.

    Parameters
    ----------
    cheapest : the chain of least ``a time + b share`` for (a, b), its time and its share.
    """
    best, time_s, own = cheapest(1.0, 0.0)
    least, share = time_s * (1.0 + own), 0.0
    for _ in range(ROUNDS):
        found, time_s, share = cheapest(1.0 + share, time_s)
        if time_s * (1.0 + share) < least:
            best, least = found, time_s * (1.0 + share)
    return best, least
