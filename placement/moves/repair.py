"""Repair: few moves after which blocks have the hosts that an operator's constraints ask for.

As long as blocks lack hosts, the one server whose best new span helps most is moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.content import IntArray
from ...core.needs import Need, needs
from ...core.plan import Placement
from ...perfmodel.cost import CostModel
from ...perfmodel.memory import furthest_ends

#: Random restarts of a repair that is stuck.
KICKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """What each server may host.

    Attributes
    ----------
    allowed : (n, L) blocks that a server may host.
    stop : (n, L) where the longest span ends that may begin at each block.
    pinned : (n,) servers whose span is given.
    start, end : (n,) that span, 0 elsewhere.
    """

    allowed: NDArray[np.bool_]
    stop: IntArray
    pinned: NDArray[np.bool_]
    start: IntArray
    end: IntArray

    @property
    def length(self) -> int:
        """Blocks of the model, L."""
        return int(self.stop.shape[1])

    @property
    def hostable(self) -> NDArray[np.bool_]:
        """(n, L) blocks that a server whose span is not given can host."""
        return self.stop > np.arange(self.length)

    @property
    def longest(self) -> IntArray:
        """(n,) blocks of the longest span of each server."""
        free: IntArray = (self.stop - np.arange(self.length)).max(axis=1)
        return np.where(self.pinned, self.end - self.start, free)

    def holds(self, server: int, start: int, end: int) -> bool:
        """Whether a server may host blocks ``[start, end)``, or none."""
        if self.pinned[server]:
            return (start, end) == (int(self.start[server]), int(self.end[server]))
        return end <= start or end <= int(self.stop[server, start])

    def windows(self, server: int) -> list[tuple[int, int]]:
        """Spans of one server that are not part of a larger one it could host."""
        if self.pinned[server]:
            start, end = int(self.start[server]), int(self.end[server])
            return [(start, end)] if end > start else []
        found: list[tuple[int, int]] = []
        for start, end in enumerate(self.stop[server].tolist()):
            if end > start and not (found and end <= found[-1][1]):
                found.append((start, end))
        return found


def spans_of(cost: CostModel, sessions: int = 1) -> Spans:
    """What each server may host with room for this many sessions on all of its blocks."""
    asked = cost.problem.planning.constraints
    n, length = cost.problem.num_servers, cost.num_blocks
    allowed = np.ones((n, length), dtype=bool)
    stop = furthest_ends(cost, sessions)
    pinned = np.zeros(n, dtype=bool)
    start, end = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for ban in asked.forbidden:
        allowed[ban.server, ban.start : ban.end] = False
    for j in np.flatnonzero(~allowed.all(axis=1)).tolist():
        bans = np.append(np.flatnonzero(~allowed[j]), length)
        stop[j] = np.minimum(stop[j], bans[np.searchsorted(bans, np.arange(length))])
    for pin in asked.pinned:
        pinned[pin.server] = True
        start[pin.server], end[pin.server] = pin.start, pin.end
    return Spans(allowed=allowed, stop=stop, pinned=pinned, start=start, end=end)


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


def _movable(spans: Spans) -> NDArray[np.bool_]:
    """(n,) servers that can host something and whose span is not given."""
    return ~spans.pinned & (spans.longest > 0)


def _kick(spans: Spans, start: IntArray, end: IntArray, rng: np.random.Generator) -> None:
    """Take a few servers out, so that the descent may put them elsewhere."""
    free = np.flatnonzero(_movable(spans))
    if len(free):
        out = rng.choice(free, size=min(len(free), int(rng.integers(2, 5))), replace=False)
        start[out] = end[out] = 0


def _descend(spans: Spans, wanted: Sequence[Need], start: IntArray, end: IntArray) -> int:
    """Move one server after the other, in place, until nothing helps; what is still lacking."""
    n, length = spans.stop.shape
    movable = _movable(spans)
    while True:
        gain, lacking = _gains(wanted, start, end, length)
        if not lacking:
            return 0
        total = np.concatenate([np.zeros((n, 1)), np.cumsum(gain, axis=1)], axis=1)
        value = np.take_along_axis(total, spans.stop, axis=1) - total[:, :length]
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
        start[row], end[row] = block, int(spans.stop[row, block])


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
