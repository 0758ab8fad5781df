"""Whether a placement has any chain at all, and one that holds a session."""

from __future__ import annotations

import numpy as np

from ..core.content import IntArray
from ..core.plan import Placement
from ..perfmodel.cost import CostModel


def has_chain(cost: CostModel, placement: Placement, tokens: int = 0) -> bool:
    """Whether idle servers, every one up, have a chain that holds a session of so many tokens."""
    return reaches(cost, placement, placement.cache_bytes, tokens)


def reaches(
    cost: CostModel,
    placement: Placement,
    free_bytes: IntArray,
    tokens: int,
    without: frozenset[int] = frozenset(),
) -> bool:
    """Whether some chain has room for ``tokens`` tokens beside what takes the rest of the pools,
    without some of the servers."""
    first = placement.start
    if tokens:
        first = np.maximum(
            first, cost.earliest_block(tokens, np.maximum(free_bytes, 0), placement.end)
        )
    reached = np.zeros(cost.num_blocks + 1, dtype=bool)
    reached[0] = True
    for j in np.argsort(placement.end, kind="stable").tolist():
        begin, end = int(first[j]), int(placement.end[j])
        if j not in without and not reached[end] and reached[begin:end].any():
            reached[end] = True
    return bool(reached[-1])
