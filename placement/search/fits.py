"""How many blocks sessions can run at every server beside all others, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...core.content import IntArray
from ...core.jit import compiled
from ...perfmodel.cost import CostModel
from ...perfmodel.runs import Runs

#: More blocks than any model has.
NO_BOUND = 2**31
#: Numbers of sessions whose needs are remembered.
MOST_NEEDS = 256


class Bytes(NamedTuple):
    """What 0..L blocks take: one figure a server where blocks are alike, else a table.

    Attributes
    ----------
    each : (n,) bytes of a block; empty where they differ.
    table : (n, L + 1) then, of the first 0..L blocks, or the most of any 0..L; else (0, 0).
    """

    each: IntArray
    table: IntArray


class Rooms(NamedTuple):
    """Memory of the servers and what it is for.

    Attributes
    ----------
    memory : (n,) bytes for weights and cache; cache : (n,) most of it for caches.
    weights : of the blocks.
    limit : (n,) most blocks that each may host.
    reach : (n, L + 1) most blocks of a span that ends at each block.
    """

    memory: IntArray
    cache: IntArray
    weights: Bytes
    limit: IntArray
    reach: IntArray


class Used(NamedTuple):
    """What servers do by now.

    Attributes
    ----------
    end, hosted : (n,) of the spans in use, which may grow at their beginning; end 0 = free.
    held : (n,) bytes of cache for others.
    """

    end: IntArray
    hosted: IntArray
    held: IntArray


class Need(NamedTuple):
    """What some sessions take on so many blocks: with the weights, and alone ((1,) row)."""

    whole: Bytes
    cache: Bytes


class Fits:
    """What fits beside all others on some servers; what sessions need is remembered."""

    def __init__(self, cost: CostModel, reach: IntArray) -> None:
        weights = cost.weights_bytes
        self._cost = cost
        self._rooms = Rooms(
            memory=np.array(cost.problem.memory_bytes),
            cache=np.array(cost.most_cache_bytes),
            weights=_bytes(weights, weights.sums),
            limit=np.array(cost.problem.max_blocks),
            reach=np.array(reach),
        )
        self._needs: dict[tuple[int, int], Need] = {}
        self._each: dict[int, Bytes] = {}

    def blocks(self, used: Used, tokens: int, sessions: int, head: int) -> IntArray:
        """(n,) most blocks that sessions with so many cache tokens can run at each server, 0 =
        none; ``head`` are those for which a free server leaves room."""
        need = self._need(tokens, sessions)
        return blocks_for(self._rooms, *used, need, self._need(tokens, head))

    def blocks_hosted(self, used: Used, tokens: int, sessions: int) -> IntArray:
        """(n,) the same of what each server hosts by now."""
        return blocks_inside(self._rooms, *used, self._need(tokens, sessions))

    def sessions(self, used: Used, tokens: int, chain: Sequence[tuple[int, int, int]]) -> int:
        """How many sessions fit on a chain of (server, first block, end)."""
        each = self._each.get(tokens)
        if each is None:
            kept = self._cost.kept.of(tokens)
            each = self._each[tokens] = _bytes(kept, kept.sums)
        visits = np.array(chain, dtype=np.int64)
        return sessions_on(self._rooms, used.hosted, used.held, each, visits)

    def _need(self, tokens: int, sessions: int) -> Need:
        found = self._needs.get((tokens, sessions))
        if found is None:
            if len(self._needs) >= MOST_NEEDS:
                self._needs.clear()
            found = self._needs[tokens, sessions] = need_of(self._cost, sessions, tokens)
        return found


def need_of(cost: CostModel, sessions: int, tokens: int) -> Need:
    """What so many sessions with so many cache tokens take; more than any memory just so."""
    held, most = ((sessions, tokens),), int(cost.problem.memory_bytes.max())
    parts = cost.weights_and_cache(held, most), cost.kept.together(held, most)
    return Need(*(_bytes(p, None if p.alike else p.heaviest()) for p in parts))


def _bytes(runs: Runs, table: object) -> Bytes:
    if runs.each is not None:
        return Bytes(np.array(runs.each, dtype=np.int64), np.zeros((0, 0), dtype=np.int64))
    return Bytes(np.zeros(0, dtype=np.int64), np.array(table, dtype=np.int64))


@compiled
def blocks_for(
    rooms: Rooms, end: IntArray, hosted: IntArray, held: IntArray, ask: Need, head: Need
) -> IntArray:
    """(n,) most blocks that sessions can run at each server, 0 = none.

    Parameters
    ----------
    end, hosted, held : as of ``Used``.
    ask, head : of the sessions, and of those for which a free server leaves room.
    """
    found = blocks_inside(rooms, end, hosted, held, ask)
    for j in range(len(end)):
        need = ask if end[j] else head
        most = min(
            _fitting(need.whole, j, rooms.memory[j] - held[j]),
            _fitting(need.cache, 0, rooms.cache[j] - held[j]),
        )
        if most > hosted[j]:
            found[j] = most
        most = rooms.reach[j, end[j]] if end[j] else rooms.reach[j].max()
        found[j] = max(min(found[j], most, rooms.limit[j]), 0)
    return found


@compiled
def blocks_inside(
    rooms: Rooms, end: IntArray, hosted: IntArray, held: IntArray, ask: Need
) -> IntArray:
    """(n,) the same of what each server hosts by now."""
    found = np.zeros(len(end), np.int64)
    for j in range(len(end)):
        if hosted[j]:
            beside = rooms.memory[j] - _span_bytes(rooms.weights, j, end[j] - hosted[j], end[j])
            most = _fitting(ask.cache, 0, min(beside, rooms.cache[j]) - held[j])
            found[j] = max(min(most, hosted[j]), 0)
    return found


@compiled
def sessions_on(
    rooms: Rooms, hosted: IntArray, held: IntArray, each: Bytes, chain: IntArray
) -> int:
    """How many sessions of a class fit on a chain beside all others.

    Parameters
    ----------
    hosted, held : (n,) blocks and bytes of cache of each server by now.
    each : cache of one session, (1,) row.
    chain : (visits, 3) server, first block and end.
    """
    fit = NO_BOUND
    for i in range(len(chain)):
        j, begin, end = chain[i]
        weights = _span_bytes(rooms.weights, j, min(begin, end - hosted[j]), end)
        spare = min(rooms.memory[j] - weights, rooms.cache[j]) - held[j]
        fit = min(fit, spare // _span_bytes(each, 0, begin, end))
    return int(fit)


@compiled
def _fitting(need: Bytes, row: int, free: int) -> int:
    """Most blocks of which so many bytes hold what they need; less than none if free is."""
    if len(need.each):
        each = need.each[row]
        return int(free // each) if each else NO_BOUND
    return int(np.searchsorted(need.table[row], free, side="right")) - 1


@compiled
def _span_bytes(weights: Bytes, server: int, start: int, end: int) -> int:
    if len(weights.each):
        return int(weights.each[server] * (end - start))
    return int(weights.table[server, end] - weights.table[server, start])
