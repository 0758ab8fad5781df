"""How many blocks sessions can run at every server beside all others, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..core.content import IntArray
from ..core.jit import compiled
from .cost import CostModel
from .plain import NO_BOUND, Plain, most_within, plain, plain_heaviest, run_of

#: Numbers of sessions whose needs are remembered.
MOST_NEEDS = 256


class Rooms(NamedTuple):
    """Memory of the servers and what it is for.

    Attributes
    ----------
    memory : (n,) bytes for weights and cache; cache : (n,) most of it for caches.
    weights : of the blocks.
    limit : (n,) most blocks that each may host.
    reach : (n, L + 1) most blocks of a span that ends at each block; longest : (n,) anywhere.
    """

    memory: IntArray
    cache: IntArray
    weights: Plain
    limit: IntArray
    reach: IntArray
    longest: IntArray


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

    whole: Plain
    cache: Plain


class Fits:
    """What fits beside all others on some servers; what sessions need is remembered."""

    def __init__(self, cost: CostModel, reach: IntArray) -> None:
        self._cost = cost
        self._rooms = Rooms(
            memory=np.array(cost.problem.memory_bytes),
            cache=np.array(cost.most_cache_bytes),
            weights=plain(cost.weights_bytes, np.int64),
            limit=np.array(cost.problem.max_blocks),
            reach=np.array(reach),
            longest=reach.max(axis=1),
        )
        self._needs: dict[tuple[int, int], Need] = {}
        self._each: dict[int, Plain] = {}

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
            each = self._each[tokens] = plain(self._cost.kept.of(tokens), np.int64)
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
    return Need(*(plain_heaviest(p, np.int64) for p in parts))


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
            most_within(need.whole, j, rooms.memory[j] - held[j]),
            most_within(need.cache, 0, rooms.cache[j] - held[j]),
        )
        if most > hosted[j]:
            found[j] = most
        most = rooms.reach[j, end[j]] if end[j] else rooms.longest[j]
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
            beside = rooms.memory[j] - run_of(rooms.weights, j, end[j] - hosted[j], end[j])
            most = most_within(ask.cache, 0, min(beside, rooms.cache[j]) - held[j])
            found[j] = max(min(most, hosted[j]), 0)
    return found


@compiled
def sessions_on(
    rooms: Rooms, hosted: IntArray, held: IntArray, each: Plain, chain: IntArray
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
        weights = run_of(rooms.weights, j, min(begin, end - hosted[j]), end)
        spare = min(rooms.memory[j] - weights, rooms.cache[j]) - held[j]
        fit = min(fit, spare // run_of(each, 0, begin, end))
    return int(fit)
