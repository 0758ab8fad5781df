"""The compiled part of annealing layouts of stages on the fluid model.

Imported only where throughput is planned: numba takes a while to load. The functions are plain
Python too; all that is random is drawn before. docs/model.md 16.
"""

from __future__ import annotations

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.jit import compiled
from ..perfmodel.stages import Stages
from ..perfmodel.steady import sustains

#: Random numbers of a step.
DRAWS = 6
#: Of the moves, until there: a boundary shifts, two servers swap, one takes a span between known
#: boundaries, one shares the span of another; else a range of boundaries slides.
SHIFT, SWAP, TAKE, SPLIT = 0.30, 0.50, 0.75, 0.90
#: A boundary moves by at most so much.
FAR = 3

_sustains = sustains


@compiled
def anneal(
    g: Stages,
    start: IntArray,
    end: IntArray,
    best: IntArray,
    rates: FloatArray,
    draws: FloatArray,
    hot: float,
    cold: float,
    rated: bool,
) -> None:
    """Anneal a layout in place for some steps.

    Whether a step is taken is drawn before it is rated: then most layouts need one look, at the
    least rate that would do, and only those that are taken are rated in full.

    Parameters
    ----------
    best : (2, n) starts and ends of the best one met so far.
    rates : (2,) of the present one and of the best, requests per second.
    draws : (steps, DRAWS) numbers in [0, 1).
    hot, cold : temperatures at the beginning and the end, in requests per second; geometric.
    rated : whether requests are dealt by ratings.
    """
    steps = len(draws)
    figures = np.zeros(5)
    new_start, new_end = start.copy(), end.copy()
    cooling = (cold / hot) ** (1.0 / max(steps, 1))
    heat = hot
    for step in range(steps):
        heat *= cooling
        new_start[:], new_end[:] = start, end
        if not _moved(g, new_start, new_end, draws[step]):
            continue
        luck = max(draws[step, DRAWS - 1], 1e-300)
        least = max(rates[0] + heat * np.log(luck), 1e-12)
        rate = _sustains(g, new_start, new_end, rated, figures, least)
        if rate <= 0.0:
            continue
        start[:], end[:], rates[0] = new_start, new_end, rate
        if rate > rates[1]:
            rates[1] = rate
            best[0], best[1] = start, end


@compiled
def _moved(g: Stages, start: IntArray, end: IntArray, draw: FloatArray) -> bool:
    """One move in place; whether it led to another layout that fits."""
    n, length = len(start), g.length[0]
    i, j = int(draw[1] * n), int(draw[2] * n)
    if draw[0] < SHIFT:
        at = start[i] if draw[2] < 0.5 else end[i]
        by = _step(draw[3])
        if not 0 < at < length or not 0 < at + by < length:
            return False
        everywhere = draw[4] < 0.25
        return _slid(g, start, end, at, at, by, -1 if everywhere else g.place[i])
    if draw[0] < SWAP:
        if (start[i], end[i]) == (start[j], end[j]):
            return False
        start[i], start[j] = start[j], start[i]
        end[i], end[j] = end[j], end[i]
        return _fits(g, start, end, i) and _fits(g, start, end, j)
    if draw[0] < TAKE:
        other = int(draw[3] * n)
        first = start[j] if draw[4] < 0.7 else end[j]
        # Half of the time the span of another one, else up to another one's boundary.
        if draw[3] < 0.5:
            last = end[j]
            first = start[j]
        else:
            last = end[other] if draw[4] < 0.5 else start[other]
        if last <= first or (start[i], end[i]) == (first, last):
            return False
        start[i], end[i] = first, last
        return _fits(g, start, end, i)
    if draw[0] < SPLIT:
        blocks = end[j] - start[j]
        if i == j or blocks < 2:
            return False
        cut = start[j] + 1 + int(draw[3] * (blocks - 1))
        if draw[4] < 0.5:
            start[i], end[i], start[j] = start[j], cut, cut
        else:
            start[i], end[i], end[j] = cut, end[j], cut
        return _fits(g, start, end, i)
    low, high = 1 + int(draw[1] * (length - 1)), 1 + int(draw[2] * (length - 1))
    if low > high:
        low, high = high, low
    place = g.place[int(draw[4] * n)]
    return _slid(g, start, end, low, high, _step(draw[3]), place)


@compiled
def _step(draw: float) -> int:
    """From -FAR to FAR without 0; one step is likelier than more."""
    far = 1 + int(FAR * (2.0 * abs(draw - 0.5)) ** 2)
    return far if draw >= 0.5 else -far


@compiled
def _slid(
    g: Stages, start: IntArray, end: IntArray, low: int, high: int, by: int, place: int
) -> bool:
    """All boundaries of a place (-1 = of all) from ``low`` to ``high`` move."""
    length, moved = g.length[0], False
    for i in range(len(start)):
        if end[i] <= start[i] or (place >= 0 and g.place[i] != place):
            continue
        changed = False
        if low <= start[i] <= high and start[i] > 0:
            start[i] += by
            changed = True
        if low <= end[i] <= high and end[i] < length:
            end[i] += by
            changed = True
        if changed:
            moved = True
            if not _fits(g, start, end, i):
                return False
    return moved


@compiled
def _fits(g: Stages, start: IntArray, end: IntArray, i: int) -> bool:
    """Whether a server holds its span, with room for a session; an idle one does."""
    blocks = end[i] - start[i]
    if blocks == 0 and start[i] == 0:
        return True
    if blocks <= 0 or start[i] < 0 or end[i] > g.length[0]:
        return False
    room: bool = g.slots[i, blocks] >= 1.0
    return room
