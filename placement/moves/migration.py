"""In which order servers move from one placement to another so that every block stays served.

A move takes its server out of service while it loads. One server moves at a time. An order is
safe when, during every move, the other servers (moved ones at their new spans, the rest at their
old ones) still cover all blocks; covered blocks always form a chain, because a request may enter
a span anywhere.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.content import FloatArray, IntArray
from ...core.plan import Placement
from ...core.problem import Problem

#: Up to this many moves the order is found by exhaustive search over the sets already moved.
EXHAUSTIVE_MOVES = 14
#: Dead ends remembered before a larger search settles for the least darkness it can find.
SEARCH_NODES = 200_000
#: Moves are compared by so many of the thinnest blocks that they leave behind.
THINNEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One server loads new blocks.

    Attributes
    ----------
    load_s : seconds out of service.
    dark : blocks that nobody serves meanwhile, empty when the step is safe.
    """

    server: int
    old: tuple[int, int]
    new: tuple[int, int]
    load_s: float
    dark: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """Ordered moves; ``proven`` tells whether no order with less darkness exists."""

    moves: tuple[Move, ...]
    proven: bool

    @property
    def dark_block_s(self) -> float:
        """Unserved blocks times seconds, summed over the moves."""
        return sum(len(m.dark) * m.load_s for m in self.moves)

    @property
    def duration_s(self) -> float:
        """Seconds until the last move has ended."""
        return sum(m.load_s for m in self.moves)


def order_moves(
    problem: Problem, old: Placement, new: Placement, load_s: Sequence[float] | FloatArray
) -> Migration:
    """The order with the least dark block-seconds: none whenever some order has none.

    Parameters
    ----------
    load_s : (n,) seconds that each server is out of service if it moves.

    Notes
    -----
    Least-darkness search (Dijkstra) over the sets of servers already moved: exact up to
    ``EXHAUSTIVE_MOVES`` moves. Beyond, servers that only gain blocks go first and servers that
    only lose them go last (neither can hurt), the rest is searched depth first with memory of
    dead ends, and what that cannot order is ordered greedily; ``proven`` says which it was.
    """
    length = problem.model.num_blocks
    rows = np.flatnonzero((old.start != new.start) | (old.end != new.end))
    before, after = old.hosts(length), new.hosts(length)
    away_s = np.where(new.num_blocks > 0, np.asarray(load_s, dtype=np.float64), 0.0)
    order, proven = _order(old.coverage(length), old, new, rows.tolist(), before, after, away_s)
    coverage, moves = old.coverage(length), []
    for j in order:
        without = coverage - before[j]
        dark = np.flatnonzero(without <= 0)
        moves.append(
            Move(
                server=j,
                old=(int(old.start[j]), int(old.end[j])),
                new=(int(new.start[j]), int(new.end[j])),
                load_s=float(away_s[j]),
                dark=tuple(int(b) for b in dark),
            )
        )
        coverage = without + after[j]
    return Migration(moves=tuple(moves), proven=proven)


def _order(
    base: IntArray,
    old: Placement,
    new: Placement,
    moving: list[int],
    before: IntArray,
    after: IntArray,
    away_s: FloatArray,
) -> tuple[list[int], bool]:
    """The order of the moves, and whether it is proven to leave least in the dark."""
    if len(moving) <= EXHAUSTIVE_MOVES:
        return _least_dark(base, moving, before, after, away_s), True
    first = [j for j in moving if not old.num_blocks[j]]
    last = [j for j in moving if old.num_blocks[j] and not new.num_blocks[j]]
    middle = [j for j in moving if old.num_blocks[j] and new.num_blocks[j]]
    grown = base + after[first].sum(axis=0)
    safe = _depth_first(grown, middle, before, after)
    if safe is not None:
        return [*first, *safe, *last], not np.any(base <= 0)
    return [*first, *_greedy(grown, middle, before, after, away_s), *last], False


def _least_dark(
    base: IntArray,
    moving: list[int],
    before: IntArray,
    after: IntArray,
    away_s: FloatArray,
) -> list[int]:
    """Dijkstra over subsets; cost = dark block-seconds so far, ties by fewer set bits first."""
    full = (1 << len(moving)) - 1
    best: dict[int, float] = {0: 0.0}
    came: dict[int, tuple[int, int]] = {}
    queue: list[tuple[float, int, int]] = [(0.0, 0, 0)]
    while queue:
        cost, _, moved = heapq.heappop(queue)
        if moved == full:
            break
        if cost > best[moved]:
            continue
        coverage = _coverage(base, moving, moved, before, after)
        for i, j in enumerate(moving):
            if moved >> i & 1:
                continue
            dark = int(np.count_nonzero(coverage - before[j] <= 0))
            reached = moved | 1 << i
            total = cost + dark * float(away_s[j])
            if total < best.get(reached, float("inf")):
                best[reached], came[reached] = total, (moved, j)
                heapq.heappush(queue, (total, -reached.bit_count(), reached))
    order: list[int] = []
    moved = full
    while moved:
        moved, j = came[moved]
        order.append(j)
    return order[::-1]


def _coverage(
    base: IntArray, moving: list[int], moved: int, before: IntArray, after: IntArray
) -> IntArray:
    rows = [j for i, j in enumerate(moving) if moved >> i & 1]
    changed: IntArray = base + (after[rows] - before[rows]).sum(axis=0)
    return changed


def _depth_first(
    base: IntArray, moving: list[int], before: IntArray, after: IntArray
) -> list[int] | None:
    """A safe order, or None when none was found within ``SEARCH_NODES`` dead ends."""
    dead: set[int] = set()
    order: list[int] = []

    gone, come = before[moving], after[moving]
    waiting = np.ones(len(moving), dtype=bool)

    def candidates(coverage: IntArray) -> list[int]:
        """Safe next moves, those that raise the thinnest coverage most last."""
        without = coverage - gone
        safe = np.flatnonzero(waiting & (without > 0).all(axis=1))
        reached = without[safe] + come[safe]
        most = min(THINNEST, reached.shape[1])
        thinnest = np.sort(np.partition(reached, most - 1, axis=1)[:, :most], axis=1)
        ranked: list[int] = safe[np.lexsort((safe, *-thinnest.T[::-1]))].tolist()
        return ranked[::-1]

    moved = 0
    stack = [(base, candidates(base))]
    while stack:
        coverage, options = stack[-1]
        if len(order) == len(moving):
            return [moving[i] for i in order]
        while options and moved | 1 << options[-1] in dead:
            options.pop()
        if options:
            i = options.pop()
            order.append(i)
            moved |= 1 << i
            waiting[i] = False
            reached = coverage - gone[i] + come[i]
            stack.append((reached, candidates(reached)))
            continue
        dead.add(moved)
        stack.pop()
        if order:
            i = order.pop()
            moved ^= 1 << i
            waiting[i] = True
        if len(dead) > SEARCH_NODES:
            return None
    return None


def _greedy(
    base: IntArray,
    moving: list[int],
    before: IntArray,
    after: IntArray,
    away_s: FloatArray,
) -> list[int]:
    """Least darkness next, ties by the best thinnest coverage afterwards."""
    coverage, left, order = base, list(moving), []
    while left:
        scores = []
        for j in left:
            without = coverage - before[j]
            dark = float(away_s[j]) * int(np.count_nonzero(without <= 0))
            scores.append((dark, -int((without + after[j]).min()), j))
        j = min(scores)[2]
        left.remove(j)
        order.append(j)
        coverage = coverage - before[j] + after[j]
    return order
