"""CG-BP's choices for many servers whose blocks are alike, compiled: the same as ``cg_bp`` makes.

Imported only where swarms are large: numba takes a while to load.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.content import FloatArray, IntArray
from ...core.jit import compiled


@compiled
def fill(
    order: IntArray,
    width: IntArray,
    room: IntArray,
    gain_s: FloatArray,
    slow_s: FloatArray,
    capacity: IntArray,
    start: IntArray,
    sessions: int,
    tie: float,
) -> None:
    """Where the window of every server begins.

    Parameters
    ----------
    order : servers in their turn.
    width, room : (n,) blocks of each and the sessions that it can hold on them.
    gain_s : (n,) what a block gains for each session that it serves.
    slow_s, capacity : (L,) how slowly blocks are served, and for how many sessions; both change.
    start : (n,) is filled in.
    """
    for j in order:
        lacking = False
        for have in capacity:
            lacking = lacking or have < sessions
        if lacking:
            begin = _slowest(slow_s, capacity, width[j], sessions, tie)
        else:
            begin = thinnest(capacity, width[j])
        start[j] = begin
        for block in range(begin, begin + width[j]):
            served = min(max(sessions - capacity[block], 0), room[j])
            slow_s[block] -= gain_s[j] * served
            capacity[block] += room[j]


@compiled
def _slowest(slow_s: FloatArray, capacity: IntArray, width: int, sessions: int, tie: float) -> int:
    """The window with a lacking block and the largest sum; ties: smallest start."""
    sums, lacks = np.zeros(len(slow_s) + 1), np.zeros(len(slow_s) + 1, np.int64)
    for block in range(len(slow_s)):
        sums[block + 1] = sums[block] + slow_s[block]
        lacks[block + 1] = lacks[block] + (1 if capacity[block] < sessions else 0)
    best = -np.inf
    for begin in range(len(slow_s) - width + 1):
        if lacks[begin + width] > lacks[begin]:
            best = max(best, sums[begin + width] - sums[begin])
    for begin in range(len(slow_s) - width + 1):
        total = sums[begin + width] - sums[begin]
        if lacks[begin + width] > lacks[begin] and total >= best - tie * abs(best):
            return begin
    return -1


@compiled
def thinnest(values: NDArray[Any], width: int) -> int:
    """The window whose sorted values are lexicographically smallest; ties: smallest start."""
    inside, best, chosen = np.sort(values[:width]), np.sort(values[:width]), 0
    for begin in range(1, len(values) - width + 1):
        _exchange(inside, values[begin - 1], values[begin + width - 1])
        for i in range(width):
            if inside[i] != best[i]:
                if inside[i] < best[i]:
                    best[:], chosen = inside, begin
                break
    return chosen


@compiled
def _exchange(inside: NDArray[Any], gone: float, come: float) -> None:
    """Sorted values with one of them in place of another."""
    i = 0
    while inside[i] != gone:
        i += 1
    while i + 1 < len(inside) and inside[i + 1] < come:
        inside[i] = inside[i + 1]
        i += 1
    while i > 0 and inside[i - 1] > come:
        inside[i] = inside[i - 1]
        i -= 1
    inside[i] = come
