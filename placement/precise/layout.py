"""Chains without positions laid out in the model: an order of their servers, and where each ends.

Where blocks differ not every chain of shapes has such an order. One is found by how far sets of
servers reach; then the cuts between them are made anew, at least cost within the budget.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...chains.within import undominated
from ...core.accuracy import SAME_HARM
from ...core.content import FloatArray, IntArray
from .menu import Menu, Variant

#: Servers of a chain beyond which no order is looked for among blocks that differ.
MOST_ORDERED = 14
#: (variant, start, end) of every hop.
Spans = tuple[tuple[Variant, int, int], ...]
#: (L + 1, L + 1) of ``Variant.fits``.
Fits = NDArray[np.bool_]


def laid_out(
    menu: Menu, variants: Sequence[Variant], budget: float, cache: IntArray, times: FloatArray
) -> Spans | None:
    """The cheapest cuts of a chain over these variants, in an order that reaches the end.

    Parameters
    ----------
    budget : the most that the chain may harm.
    cache : (L + 1,) bytes that every one has to hold beside its weights on the first 0..L blocks.
    times : (C,) sessions of each class on the chain.

    Returns
    -------
    None where no order, or none within the budget, was found.
    """
    fits = [v.fits(cache) for v in variants]
    order = _order(fits, menu.length)
    if order is None:
        return None
    ordered = [variants[i] for i in order]
    return _cut(menu, ordered, [fits[i] for i in order], budget, times)


def _order(fits: Sequence[Fits], length: int) -> list[int] | None:
    """Rows in an order in which they reach the end together: the set that reaches farthest."""
    block = np.arange(length + 1)
    furthest = [np.where(f.any(axis=1), f.shape[1] - 1 - f[:, ::-1].argmax(axis=1), block)
                for f in fits]  # fmt: skip
    if len({tuple(e - block) for e in furthest}) <= 1 or len(fits) > MOST_ORDERED:
        return list(range(len(fits)))
    reach = {0: (0, -1)}
    for members in range(1, 1 << len(fits)):
        best = (-1, -1)
        for i, ends in enumerate(furthest):
            if members >> i & 1:
                best = max(best, (int(ends[reach[members & ~(1 << i)][0]]), i))
        reach[members] = best
    members = (1 << len(fits)) - 1
    if reach[members][0] < length:
        return None
    order = []
    while members:
        i = reach[members][1]
        order.append(i)
        members &= ~(1 << i)
    return order[::-1]


def _cut(
    menu: Menu,
    variants: Sequence[Variant],
    fits: Sequence[Fits],
    budget: float,
    times: FloatArray,
) -> Spans | None:
    """The cheapest cuts of a chain over variants in this order; each may be left out."""
    position, cost, harm = np.zeros(1, dtype=np.int64), np.zeros(1), np.zeros(1)
    layers: list[tuple[IntArray, IntArray]] = []
    for variant, fit in zip(variants, fits, strict=True):
        before, end = np.nonzero(fit[position])
        added_s, harmed = variant.visit(position[before], end, times)
        parent = np.concatenate((np.arange(len(position)), before))
        cost = np.concatenate((cost, cost[before] + added_s))
        harm = np.concatenate((harm, harm[before] + harmed))
        position = np.concatenate((position, end))
        at = np.flatnonzero(harm <= budget + SAME_HARM)
        at = at[undominated(position[at], cost[at], harm[at])]
        position, cost, harm = position[at], cost[at], harm[at]
        layers.append((parent[at], position))
    whole = np.flatnonzero(position == menu.length)
    if not len(whole):
        return None
    label = int(whole[cost[whole].argmin()])
    spans: list[tuple[Variant, int, int]] = []
    for i in reversed(range(len(layers))):
        parents, ends = layers[i]
        earlier = layers[i - 1][1] if i else np.zeros(1, dtype=np.int64)
        first, last = int(earlier[parents[label]]), int(ends[label])
        if last > first:
            spans.append((variants[i], first, last))
        label = int(parents[label])
    return tuple(reversed(spans))
