"""Neighbours of a placement: one server's span, or one boundary that servers share, changed.

For searches that judge whole placements, by whatever measure. Where it is known how busy servers
are, those that have time are rather sent to help those that have none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...core.content import FloatArray, IntArray

#: How far a boundary or a span moves at most, blocks.
FURTHEST = 4
#: Least chance of a server to be drawn, beside 1 for the busiest, or for the one with most time.
LEAST = 0.1


class Spans(NamedTuple):
    """Spans of all servers, to be changed, and what bounds them.

    Attributes
    ----------
    span : (n, 2) blocks [start, end); equal where a server is idle.
    most : (n,) most blocks of each server.
    busy : (n,) how busy each server is, beside the busiest one: 0 to 1.
    length : blocks of the model.
    """

    span: IntArray
    most: IntArray
    busy: FloatArray
    length: int

    def put(self, j: int, start: int, end: int, *, keep_end: bool = False) -> None:
        """Give a server a span, cut to what fits; one that is empty changes nothing."""
        if end - start > self.most[j]:
            start, end = (end - self.most[j], end) if keep_end else (start, start + self.most[j])
        start, end = max(start, 0), min(end, self.length)
        if start < end:
            self.span[j] = start, end

    def boundaries(self) -> IntArray:
        """Blocks at which spans begin or end."""
        return np.unique(self.span[self.span[:, 1] > self.span[:, 0]])

    @property
    def covers(self) -> bool:
        """Whether every block is hosted."""
        change = np.zeros(self.length + 1, np.int64)
        np.add.at(change, self.span[:, 0], 1)
        np.add.at(change, self.span[:, 1], -1)
        return bool((np.cumsum(change)[:-1] > 0).all())


Move = Callable[[Spans, np.random.Generator], None]


def neighbour(spans: Spans, rng: np.random.Generator) -> Spans:
    """One change at random; maybe none, and maybe some block is hosted by nobody then."""
    changed = spans._replace(span=spans.span.copy())
    MOVES[rng.choice(len(MOVES), p=SHARES)](changed, rng)
    return changed


def copy(s: Spans, rng: np.random.Generator) -> None:
    """A server with time takes the span of a busy one, or the part that it can hold."""
    j, other = _drawn(1.0 - s.busy, rng), _drawn(s.busy, rng)
    start, end = s.span[other].tolist()
    if end - start > s.most[j] and rng.random() < 1 / 3:
        inner = [at for at in s.boundaries().tolist() if start < at < end]
        anywhere = not inner or rng.random() < 0.3
        at = int(rng.integers(start, end)) if anywhere else int(rng.choice(inner))
        start, end = (at, end) if rng.random() < 0.5 else (start, max(at, start + 1))
    s.put(j, start, end, keep_end=rng.random() < 0.5)


def swap(s: Spans, rng: np.random.Generator) -> None:
    """Two servers change places."""
    if len(s.span) > 1:
        j, other = rng.choice(len(s.span), 2, replace=False)
        mine, theirs, keep_end = s.span[j].copy(), s.span[other].copy(), rng.random() < 0.5
        s.put(j, *theirs, keep_end=keep_end)
        s.put(other, *mine, keep_end=keep_end)


def align(s: Spans, rng: np.random.Generator) -> None:
    """A span begins or ends where another one does, moved or made longer or shorter."""
    j, at = int(rng.integers(len(s.span))), int(rng.choice(s.boundaries()))
    start, end = s.span[j].tolist()
    moved, begins = rng.random() < 0.5, rng.random() < 0.5
    if begins:
        s.put(j, at, at + end - start if moved or at >= end else end, keep_end=at < end)
    else:
        s.put(j, at - (end - start) if moved or at <= start else start, at, keep_end=at <= start)


def boundary(s: Spans, rng: np.random.Generator) -> None:
    """A boundary moves, and with it all spans that begin or end there."""
    inner = [at for at in s.boundaries().tolist() if 0 < at < s.length]
    if not inner:
        return
    at = int(rng.choice(inner))
    to = min(max(at + _step(rng), 1), s.length - 1)
    for j, (start, end) in enumerate(s.span.tolist()):
        if start == at and to < end:
            s.put(j, to, end, keep_end=True)
        elif end == at and start < to:
            s.put(j, start, to)


def shift(s: Spans, rng: np.random.Generator) -> None:
    """A span moves."""
    j = int(rng.integers(len(s.span)))
    start, end = s.span[j].tolist()
    by = min(max(_step(rng), -start), s.length - end)
    s.put(j, start + by, end + by)


def resize(s: Spans, rng: np.random.Generator) -> None:
    """A span gets longer or, more likely where the server is busy, shorter."""
    j, by = int(rng.integers(len(s.span))), abs(_step(rng))
    start, end = s.span[j].tolist()
    by = by if rng.random() > LEAST + (1.0 - 2 * LEAST) * s.busy[j] else -by
    if rng.random() < 0.5:
        s.put(j, start - by, end, keep_end=True)
    else:
        s.put(j, start, end + by)


def _drawn(weight: FloatArray, rng: np.random.Generator) -> int:
    """A server, by weights of 0 to 1."""
    chance = weight + LEAST
    return int(rng.choice(len(chance), p=chance / chance.sum()))


def _step(rng: np.random.Generator) -> int:
    """A few blocks on or back."""
    return int(rng.integers(1, FURTHEST + 1)) * (1 if rng.random() < 0.5 else -1)


MOVES: tuple[Move, ...] = (copy, swap, align, boundary, shift, resize)
SHARES = (0.25, 0.1, 0.15, 0.2, 0.15, 0.15)
