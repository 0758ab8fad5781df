"""When each server of a migration moves: in parallel where every block stays served.

A server that moves leaves at ``begin_s`` and serves its new blocks from ``end_s`` on. What may
go dark is decided first, the length of the migration second.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np

from ...core.content import FloatArray, IntArray
from ...core.plan import Placement
from ...core.problem import Problem
from .migration import order_moves

#: Up to this many moves the schedule is found by search over all sequences of parallel batches.
EXACT_MOVES = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One server's move, seconds after the migration begins."""

    server: int
    old: tuple[int, int]
    new: tuple[int, int]
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dark:
    """Blocks that nobody serves from ``begin_s`` to ``end_s``."""

    blocks: tuple[int, ...]
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Steps by their beginning.

    Attributes
    ----------
    dark : intervals without service for some block, in order of time; blocks dark before the
        first step included.
    proven : no sequence of parallel batches is dark for less time.
    """

    steps: tuple[Step, ...]
    dark: tuple[Dark, ...]
    proven: bool

    @property
    def duration_s(self) -> float:
        """Seconds until the last server serves its new blocks."""
        return max((s.end_s for s in self.steps), default=0.0)

    @property
    def dark_s(self) -> float:
        """Seconds during which some block is not served."""
        return sum(d.end_s - d.begin_s for d in self.dark)


Phase = tuple[float, float, Placement]


def schedule(
    problem: Problem,
    old: Placement,
    new: Placement,
    away_s: Sequence[float] | FloatArray,
    *,
    parallel: int | None = None,
) -> Schedule:
    """The schedule that is dark for the least time, then shortest.

    Parameters
    ----------
    away_s : (n,) seconds that each server is out of service if it moves.
    parallel : most servers that move at a time; None = no limit.

    Notes
    -----
    Up to ``EXACT_MOVES`` moves: a shortest-path search over the sets of servers already moved,
    one edge for every batch that moves together and is waited for. A safe order of single moves
    is such a sequence, so nothing goes dark whenever an order exists. Beyond: the order of
    ``order_moves``; a move begins, never before its predecessor, as soon as the others serve
    every block, and where that never happens it begins when nothing else moves.
    """
    away = np.asarray(away_s, dtype=np.float64)
    rows = np.flatnonzero((old.start != new.start) | (old.end != new.end)).tolist()
    if len(rows) <= EXACT_MOVES:
        begins = _batches(problem, old, new, rows, away, parallel or len(rows))
    else:
        begins = _pipeline(problem, old, new, away, parallel or len(rows))
    begins = _idle_last(begins, new, away)
    steps = sorted(
        (
            Step(
                server=j,
                old=(int(old.start[j]), int(old.end[j])),
                new=(int(new.start[j]), int(new.end[j])),
                begin_s=at,
                end_s=at + float(away[j]),
            )
            for j, at in begins.items()
        ),
        key=lambda s: (s.begin_s, s.end_s, s.server),
    )
    made = Schedule(steps=tuple(steps), dark=(), proven=len(rows) <= EXACT_MOVES)
    return replace(made, dark=dark_intervals(phases(made, old, new), problem.model.num_blocks))


def phases(plan: Schedule, old: Placement, new: Placement) -> tuple[Phase, ...]:
    """(begin_s, end_s, spans in service) from the first step to the last, without empty phases."""
    start, stop, cache = old.start.copy(), old.end.copy(), old.cache_bytes.copy()
    # At the same instant servers leave before others, or the same one, arrive.
    events = sorted(
        [(s.begin_s, 0, s.server) for s in plan.steps]
        + [(s.end_s, 1, s.server) for s in plan.steps]
    )
    edges = sorted({0.0, *(at for at, _, _ in events)})
    found, done = [], 0
    for begin, end in pairwise(edges):
        while done < len(events) and events[done][0] <= begin:
            _, arrives, j = events[done]
            done += 1
            start[j], stop[j], cache[j] = (
                (new.start[j], new.end[j], new.cache_bytes[j]) if arrives else (0, 0, 0)
            )
        spans = Placement(start=start.copy(), end=stop.copy(), cache_bytes=cache.copy())
        found.append((begin, end, spans))
    return tuple(found)


def dark_intervals(steps: Iterable[Phase], num_blocks: int) -> tuple[Dark, ...]:
    """Intervals in which blocks are not served; neighbours with the same blocks are joined."""
    found: list[Dark] = []
    for begin, end, placement in steps:
        blocks = tuple(np.flatnonzero(placement.coverage(num_blocks) == 0).tolist())
        if not blocks:
            continue
        if found and found[-1].blocks == blocks and found[-1].end_s == begin:
            found[-1] = replace(found[-1], end_s=end)
        else:
            found.append(Dark(blocks=blocks, begin_s=begin, end_s=end))
    return tuple(found)


def _batches(
    problem: Problem,
    old: Placement,
    new: Placement,
    rows: list[int],
    away: FloatArray,
    most: int,
) -> dict[int, float]:
    """Least (dark seconds, dark block-seconds, duration, batches) over sequences of batches."""
    length = problem.model.num_blocks
    before, after = old.hosts(length), new.hosts(length)
    base, full = old.coverage(length), (1 << len(rows)) - 1
    start = (0.0, 0.0, 0.0, 0)
    best = {0: start}
    came: dict[int, tuple[int, tuple[int, ...]]] = {}
    queue = [(start, 0)]
    while queue:
        cost, moved = heapq.heappop(queue)
        if moved == full:
            break
        if cost > best[moved]:
            continue
        done = [j for i, j in enumerate(rows) if moved >> i & 1]
        left = [i for i in range(len(rows)) if not moved >> i & 1]
        coverage = base + (after[done] - before[done]).sum(axis=0)
        for size in range(1, min(most, len(left)) + 1):
            for chosen in combinations(left, size):
                batch = tuple(rows[i] for i in chosen)
                dark_s, block_s, last_s = _batch_cost(coverage, batch, before, after, away)
                total = (cost[0] + dark_s, cost[1] + block_s, cost[2] + last_s, cost[3] + 1)
                reached = moved | sum(1 << i for i in chosen)
                if reached not in best or total < best[reached]:
                    best[reached], came[reached] = total, (moved, batch)
                    heapq.heappush(queue, (total, reached))
    order: list[tuple[int, ...]] = []
    at = full
    while at:
        at, batch = came[at]
        order.append(batch)
    begins, now = {}, 0.0
    for batch in reversed(order):
        begins.update(dict.fromkeys(batch, now))
        now += max(float(away[j]) for j in batch)
    return begins


def _batch_cost(
    coverage: IntArray,
    batch: Sequence[int],
    before: IntArray,
    after: IntArray,
    away: FloatArray,
) -> tuple[float, float, float]:
    """Dark seconds, dark block-seconds and duration of servers that move at the same time."""
    now = coverage - before[list(batch)].sum(axis=0)
    dark_s = block_s = clock = 0.0
    for j in sorted(batch, key=lambda row: float(away[row])):
        lasts = float(away[j]) - clock
        unserved = int(np.count_nonzero(now <= 0))
        if unserved:
            dark_s += lasts
            block_s += unserved * lasts
        clock += lasts
        now = now + after[j]
    return dark_s, block_s, clock


def _pipeline(
    problem: Problem, old: Placement, new: Placement, away: FloatArray, most: int
) -> dict[int, float]:
    """Moves in the order of least darkness, overlapping while every block stays served."""
    length = problem.model.num_blocks
    before, after = old.hosts(length), new.hosts(length)
    serving = old.coverage(length).copy()
    order = [m.server for m in order_moves(problem, old, new, away).moves]
    order.sort(key=lambda j: bool(old.num_blocks[j]))  # who serves nothing yet may always begin
    begins: dict[int, float] = {}
    loading: list[tuple[float, int]] = []
    now = 0.0
    for j in order:
        while loading and (
            loading[0][0] <= now or len(loading) >= most or np.any(serving[before[j] > 0] <= 1)
        ):
            now, done = max(now, loading[0][0]), heapq.heappop(loading)[1]
            serving = serving + after[done]
        serving = serving - before[j]
        begins[j] = now
        heapq.heappush(loading, (now + float(away[j]), j))
    return begins


def _idle_last(begins: dict[int, float], new: Placement, away: FloatArray) -> dict[int, float]:
    """Servers that only give up blocks do so at the very end, when they cannot be missed."""
    last = max((at + float(away[j]) for j, at in begins.items()), default=0.0)
    return {j: at if new.num_blocks[j] else last for j, at in begins.items()}
