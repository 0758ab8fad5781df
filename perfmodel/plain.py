"""Costs of runs of blocks as plain arrays, for compiled code."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.jit import compiled
from .runs import Runs


class Plain(NamedTuple):
    """``Runs`` of one row a server: one figure where blocks are alike, else a table.

    Attributes
    ----------
    each : (n,) cost of a block; empty where they differ.
    sums : (n, L + 1) then, of the first 0..L blocks; else (0, 0).
    """

    each: NDArray[Any]
    sums: NDArray[Any]


def plain(runs: Runs, dtype: type[Any]) -> Plain:
    """The arrays of runs, copied: compiled code is made anew for those that cannot be written."""
    if runs.each is not None:
        return Plain(np.array(runs.each, dtype=dtype), np.zeros((0, 0), dtype=dtype))
    return Plain(np.zeros(0, dtype=dtype), np.array(runs.sums, dtype=dtype))


def plain_heaviest(runs: Runs, dtype: type[Any]) -> Plain:
    """The same with the most that any 0..L blocks cost in place of what the first ones do."""
    if runs.alike:
        return plain(runs, dtype)
    return Plain(np.zeros(0, dtype=dtype), np.array(runs.heaviest(), dtype=dtype))


@compiled
def run_of(costs: Plain, server: int, start: int, end: int) -> Any:
    """Cost of blocks ``[start, end)`` at a server."""
    if len(costs.each):
        return costs.each[server] * (end - start)
    return costs.sums[server, end] - costs.sums[server, start]


@compiled
def most_within(costs: Plain, server: int, limit: Any) -> int:
    """The most blocks from the first on that cost no more than a limit; less than none below 0."""
    if len(costs.each):
        each = costs.each[server]
        return int(limit // each) if each else NO_BOUND
    low, high = 0, costs.sums.shape[1]  # the first that cost more are within [low, high]
    while low < high:
        middle = (low + high) // 2
        if costs.sums[server, middle] <= limit:
            low = middle + 1
        else:
            high = middle
    return low - 1


#: More blocks than any model has.
NO_BOUND = 2**31
