"""Reduced-cost fixing: what no plan better than the incumbent can use.

At any prices, a plan in which even one session of class c runs k blocks at server j costs at least
``bound + (cheapest chain with that visit - cheapest chain) / R_c + (most that any level of j earns
- most that a level of k or more blocks earns)``, costs being those of the whole class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...core.content import FloatArray
from .bag import Bag, Priced
from .instance import Data
from .levels import Charge, levels_of
from .limits import Range
from .pricing import Visits, every_price, through_costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivors:
    """What may still be used.

    Attributes
    ----------
    visits : (class, server) -> numbers of blocks, increasing.
    levels : server -> blocks hosted, increasing, for servers with visits.
    ends : server -> where visits may end; anywhere where left out.
    """

    visits: dict[tuple[int, int], list[int]]
    levels: dict[int, list[int]]
    ends: dict[int, Range] = field(default_factory=dict)

    def size(self, length: int) -> int:
        """Session variables of the interval-flow programme."""
        return sum(
            len(self.positions(j, k, length)) for (_, j), runs in self.visits.items() for k in runs
        )

    def positions(self, server: int, blocks: int, length: int) -> range:
        """Where a visit of so many blocks may end."""
        first, last = self.ends.get(server, (1, length))
        return range(max(first, blocks), last + 1)


def survivors(bag: Bag, cutoff: float, node: Priced | None = None) -> Survivors:
    """What a plan no dearer than ``cutoff`` (the data's unit) may use, by the best prices of a node
    of the branching (the root when left out), and with levels within its limits."""
    data, priced = bag.data, node or bag.root
    slack = max(cutoff - priced.bound, 0.0) + 1e-7 * abs(cutoff)
    charges = bag.charges(priced.prices, priced.limits)
    prices = every_price(data, charges, priced.limits)
    visits: dict[tuple[int, int], list[int]] = {}
    levels: dict[int, list[int]] = {}
    for (j, _), through in zip(prices, through_costs(data, prices), strict=True):
        limits = priced.limits.hosted(j, data.length)
        lost, hosted = _levels(data, j, charges.get(j), slack, limits)
        excess = np.maximum(through - priced.cheapest[:, None], 0.0) / data.sessions[:, None] + lost
        used: set[int] = set()
        for c in range(len(data.sessions)):
            runs = [
                int(k) + 1 for k in np.flatnonzero((excess[c] <= slack) & np.isfinite(through[c]))
            ]
            if runs:
                visits[c, j] = runs
                used.update(runs)
        if data.needs:
            levels[j] = hosted
        elif used:
            # Hosting more than the longest visit is of no use, except where memory cannot bind.
            useful = [m for m in hosted if m in used or (m == data.free[j] and min(used) <= m)]
            if useful:
                levels[j] = useful
            else:
                for c in range(len(data.sessions)):
                    visits.pop((c, j), None)
    return Survivors(visits=visits, levels=levels, ends=priced.limits.ends)


def among(
    data: Data, chains: Sequence[tuple[int, Visits]], ends: Mapping[int, Range] | None = None
) -> Survivors:
    """What some chains (class, visits) use, between these ends: nothing is proven about the
    rest."""
    visits: dict[tuple[int, int], set[int]] = {}
    used: dict[int, set[int]] = {}
    if data.needs:
        every = np.flatnonzero(data.top).tolist()
        used = {j: set(levels_of(data, j).tolist()) for j in every}
    for c, hops in chains:
        for j, k in hops:
            visits.setdefault((c, j), set()).add(k)
            used.setdefault(j, set()).add(max(k, int(data.free[j])))
    return Survivors(
        visits={key: sorted(runs) for key, runs in visits.items()},
        levels={j: sorted(levels) for j, levels in used.items()},
        ends=dict(ends or {}),
    )


def _levels(
    data: Data, j: int, charge: Charge | None, slack: float, limits: tuple[int, int]
) -> tuple[FloatArray, list[int]]:
    """(K,) what hosting at least 1..K blocks gives away, and the levels worth it, within limits."""
    blocks, top = levels_of(data, j), int(data.top[j])
    if charge is None:
        return np.zeros(top), blocks.tolist()
    within = (limits[0] <= blocks) & (blocks <= limits[1])
    lost = np.where(within, charge.most - charge.earned, np.inf)
    least = np.minimum.accumulate(lost[::-1])[::-1]
    at = np.searchsorted(blocks, np.arange(1, top + 1))
    return least[at], [int(m) for m, gone in zip(blocks, lost, strict=True) if gone <= slack]
