"""Where to split a node of the branching: on what its relaxation's chains disagree about.

Every function gives the limits of two children, which together lose no plan, or none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .bag import Bag
from .gaps import narrowed
from .limits import Limits
from .relaxed import carried, mean_levels, runs

Children = tuple[Limits, ...]
#: (relaxation just solved, its limits) -> limits of the children.
Split = Callable[[Bag, Limits], Children]

#: A level with less spread around its mean, in blocks, is settled.
SPREAD = 1e-6
#: How much more it counts to lose all orders of a chain than to lose some.
POWER = 3.0
#: Sessions' worth of orders, or share of the sessions, below which nothing is lost.
LOST = 1e-6


def gaps_apart(bag: Bag, limits: Limits) -> Children:
    """The gap of a server, so that one child loses much of the relaxation's chains, which run less
    there, and the other one has much less than before to make up the model of."""
    data = bag.data
    if not data.splits_ends:
        return ()
    ranges = narrowed(limits.gaps, data.top, data.length)
    if ranges is None:
        return ()
    below = runs(bag.master)
    spare = sum(high for _, high in ranges.values()) - data.length
    best, server, cut = LOST, -1, 0
    for j, (low, high) in ranges.items():
        lost = below[j].cumsum()[low:high]
        score = lost * np.minimum(1.0, np.arange(high - low, 0, -1) / (spare + 1))
        if score.max(initial=0.0) > best:
            best, server, cut = float(score.max()), j, low + int(score.argmax())
    if server < 0:
        return ()
    low, high = ranges[server]
    parts = [
        narrowed({**ranges, server: part}, data.top, data.length)
        for part in ((low, cut), (cut + 1, high))
    ]
    return tuple(limits.with_gaps(gaps) for gaps in parts if gaps is not None)


def ends_apart(bag: Bag, limits: Limits) -> Children:
    """The end of a server, so that both children lose most of the relaxation's chains, or of the
    orders that these may have."""
    data = bag.data
    if not data.splits_ends:
        return ()
    lost = np.zeros((2, len(data.top), data.length + 1))
    for visits, sessions in carried(bag.master):
        shares = limits.orders(visits, data.length)
        if not shares.any():
            continue
        shares = shares.cumsum(axis=1).clip(max=1.0)
        for (j, _), below in zip(visits, shares, strict=True):
            lost[0, j] += sessions * np.round(1.0 - below, 9) ** POWER
            lost[1, j] += sessions * below**POWER
    score = lost.min(axis=0)
    server, cut = (int(i) for i in np.unravel_index(int(score.argmax()), score.shape))
    return _ends_split(limits, server, cut, data.length) if score[server, cut] > LOST else ()


def levels_apart(bag: Bag, limits: Limits) -> Children:
    """The level that is least settled, at its mean."""
    spread = [
        (wide, server, mean)
        for server, (mean, wide) in mean_levels(bag.master).items()
        if wide > SPREAD
    ]
    if not spread:
        return ()
    _, server, mean = max(spread)
    low, high = limits.hosted(server, int(bag.data.top[server]))
    at = min(max(int(mean), low), high - 1)
    return limits.with_levels(server, (low, at)), limits.with_levels(server, (at + 1, high))


def ends_open(bag: Bag, limits: Limits) -> Children:
    """The server that is used most where its ends are not settled, so that where it ends in the
    relaxation is on one side."""
    data = bag.data
    if not data.splits_ends:
        return ()
    found: dict[int, tuple[float, int]] = {}
    for visits, sessions in carried(bag.master):
        orders = limits.orders(visits, data.length)
        for (j, k), shares in zip(visits, orders, strict=True):
            first, last = limits.ends.get(j, (1, data.length))
            if first < last:
                end = int(shares.argmax()) if shares.any() else (first + last) // 2
                found[j] = found.get(j, (0.0, 0))[0] + sessions * k, end
    if not found:
        return ()
    server = max(found, key=lambda j: found[j][0])
    end, first = found[server][1], limits.ends.get(server, (1, 0))[0]
    return _ends_split(limits, server, end - 1 if end > first else end, data.length)


def _ends_split(limits: Limits, server: int, cut: int, length: int) -> Children:
    first, last = limits.ends.get(server, (1, length))
    return limits.with_ends(server, (first, cut)), limits.with_ends(server, (cut + 1, last))


#: By turns: what a tree tries, in this order. Gaps need no order of the servers, and settle where
#: almost everything that they can hold is needed; ends settle where much is left over.
BY_ENDS: tuple[Split, ...] = (ends_apart, levels_apart, ends_open)
BY_GAPS: tuple[Split, ...] = (gaps_apart, *BY_ENDS)
