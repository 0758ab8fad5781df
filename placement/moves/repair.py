"""Repair: few moves after which blocks have the hosts that an operator's constraints ask for.

As long as blocks lack hosts, the one server whose best new span helps most is moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.content import IntArray
from ...core.needs import Need, needs
from ...core.plan import Placement
from ...perfmodel.cost import CostModel
from ...perfmodel.memory import blocks_that_fit

#: Random restarts of a repair that is stuck.
KICKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """What each server may host.

    Attributes
    ----------
    allowed : (n, L) blocks that a server may host.
    width : (n,) most blocks.
    pinned : (n,) servers whose span is given.
    start, end : (n,) that span, 0 elsewhere.
    """

    allowed: np.ndarray
    width: IntArray
    pinned: np.ndarray
    start: IntArray
    end: IntArray

    def windows(self, server: int) -> list[tuple[int, int]]:
        """Spans of one server that are not part of a larger one it could host."""
        if self.pinned[server]:
            start, end = int(self.start[server]), int(self.end[server])
            return [(start, end)] if end > start else []
        edges = np.flatnonzero(np.diff(np.concatenate([[0], self.allowed[server], [0]])))
        width = int(self.width[server])
        found: list[tuple[int, int]] = []
        for first, last in edges.reshape(-1, 2).tolist():
            size = min(width, last - first)
            if size:
                found += [(s, s + size) for s in range(first, last - size + 1)]
        return found


def spans_of(cost: CostModel, sessions: int = 1) -> Spans:
    """What each server may host with room for this many sessions on all of its blocks."""
    asked = cost.problem.planning.constraints
    n, length = cost.problem.num_servers, cost.num_blocks
    allowed = np.ones((n, length), dtype=bool)
    pinned = np.zeros(n, dtype=bool)
    start, end = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for ban in asked.forbidden:
        allowed[ban.server, ban.start : ban.end] = False
    for pin in asked.pinned:
        pinned[pin.server] = True
        start[pin.server], end[pin.server] = pin.start, pin.end
    width = blocks_that_fit(cost, sessions)
    return Spans(allowed=allowed, width=width, pinned=pinned, start=start, end=end)


def repaired(
    cost: CostModel, placement: Placement, sessions: int, *, seed: int = 0
) -> tuple[IntArray, IntArray]:
    """Starts and ends that lack as little as the repair could reach."""
    spans, wanted = spans_of(cost, sessions), needs(cost.problem)
    rng = np.random.default_rng(seed)
    start, end = placement.start.copy(), placement.end.copy()
    banned = [j for j in range(len(start)) if not spans.allowed[j, start[j] : end[j]].all()]
    full = placement.cache_bytes < cost.session_bytes(start, end)
    start[banned] = end[banned] = 0
    start[full] = end[full] = 0
    start, end = (np.where(spans.pinned, a, b) for a, b in ((spans.start, start), (spans.end, end)))
    best = (start.copy(), end.copy())
    least = -1
    for _ in range(KICKS):
        lacking = _descend(spans, wanted, start, end)
        if least < 0 or lacking < least:
            best, least = (start.copy(), end.copy()), lacking
        if not lacking:
            break
        start, end = best[0].copy(), best[1].copy()
        _kick(spans, start, end, rng)
    return best


def _kick(spans: Spans, start: IntArray, end: IntArray, rng: np.random.Generator) -> None:
    """Take a few servers out, so that the descent may put them elsewhere."""
    free = np.flatnonzero(~spans.pinned & (spans.width > 0))
    if len(free):
        out = rng.choice(free, size=min(len(free), int(rng.integers(2, 5))), replace=False)
        start[out] = end[out] = 0


def _descend(spans: Spans, wanted: Sequence[Need], start: IntArray, end: IntArray) -> int:
    """Move one server after the other, in place, until nothing helps; what is still lacking."""
    n, length = spans.allowed.shape
    width = np.minimum(spans.width, length)
    first = np.arange(length)
    # (n, L) where the widest span that begins at each block ends: at the width or the first ban.
    stop = np.full((n, length), length)
    for j in np.flatnonzero(~spans.allowed.all(axis=1)):
        bans = np.append(np.flatnonzero(~spans.allowed[j]), length)
        stop[j] = bans[np.searchsorted(bans, first)]
    stop = np.minimum(stop, first + width[:, None])
    movable = ~spans.pinned & (width > 0)
    while True:
        gain, lacking = _gains(wanted, start, end, length)
        if not lacking:
            return 0
        total = np.concatenate([np.zeros((n, 1)), np.cumsum(gain, axis=1)], axis=1)
        value = np.take_along_axis(total, stop, axis=1) - total[:, :length]
        value -= _losses(wanted, start, end, length)[:, None]
        value[~movable] = -np.inf
        top = value.max()
        if not top > 0:
            return lacking
        # Of equal helps an idle server is best: nobody has to move; then the first.
        rows, columns = np.nonzero(value >= top)
        idle = (end - start)[rows] == 0
        first_idle = int(np.flatnonzero(idle)[0]) if idle.any() else 0
        row, block = int(rows[first_idle]), int(columns[first_idle])
        start[row], end[row] = block, int(stop[row, block])


def _hosted(
    need: Need, start: IntArray, end: IntArray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """(groups, L) servers of each group that host a block; (n, L) whether each server does."""
    first = np.arange(length)
    covers = (start[:, None] <= first) & (first < end[:, None]) & (need.group >= 0)[:, None]
    counts = np.zeros((int(need.group.max(initial=0)) + 1, length), dtype=np.int64)
    np.add.at(counts, np.maximum(need.group, 0), covers)
    return counts, covers


def _gains(
    wanted: Sequence[Need], start: IntArray, end: IntArray, length: int
) -> tuple[np.ndarray, int]:
    """(n, L) lacks that each server would mend at each block if it were free to; lacks in all."""
    gain = np.zeros((len(start), length))
    lacking = 0
    for need in wanted:
        counts, covers = _hosted(need, start, end, length)
        groups = (counts > 0).sum(axis=0)
        lacking += int(np.maximum(need.count - groups, 0).sum())
        row = np.maximum(need.group, 0)
        others = counts[row] - covers
        without = groups - ((others == 0) & covers)
        gain += (need.group >= 0)[:, None] & (others == 0) & (without < need.count)
    return gain, lacking


def _losses(wanted: Sequence[Need], start: IntArray, end: IntArray, length: int) -> np.ndarray:
    """(n,) lacks that come up when a server leaves its span."""
    loss = np.zeros(len(start))
    for need in wanted:
        counts, covers = _hosted(need, start, end, length)
        groups = (counts > 0).sum(axis=0)
        alone = covers & (counts[np.maximum(need.group, 0)] == 1)
        loss += (alone & (groups <= need.count)).sum(axis=1)
    return loss
