"""The cheapest chain for some sessions beside all others: client relay.

A dynamic programme over (free servers considered, blocks done). Free servers come in one order,
each at most once and with any interval; between them a chain may pass servers in use, which keep
their end and may grow downwards while memory allows. Only a few free servers are considered: for
every number of blocks the cheapest ones (docs/exact.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...chains.knapsack import window_min
from ...core.content import FloatArray, IntArray
from ...perfmodel.memory import blocks_of_cache, blocks_within
from .state import Instance, State, Visit

#: Free servers ranked for each number of blocks; beyond these all free ones are tried.
RANKED = 160
#: Improvements below this, relative, are rounding.
EPS = 1e-12


class Ask(NamedTuple):
    """What to insert.

    Attributes
    ----------
    sessions : that must fit at once.
    head : sessions of this class for which a free server leaves room (>= ``sessions``).
    width : cheapest free servers considered for every number of blocks.
    fixed : use only the spans that the state has, as they are.
    cut : share of the servers that may run only a random part of what memory allows: other chains
        than the cheapest come up, where the cheapest ones block each other.
    """

    row: int
    sessions: int
    head: int
    width: int
    fixed: bool = False
    cut: float = 0.0


def most_blocks(state: State, ask: Ask) -> IntArray:
    """(n,) most blocks that the sessions asked for can run at each server, 0 = none."""
    cost, tokens = state.instance.cost, state.instance.tokens[ask.row]
    spare = cost.problem.memory_bytes - state.cache
    hosted, together = state.blocks, ((ask.sessions, tokens),)
    computed = cost.most_cache_bytes - state.cache
    rest = np.minimum(cost.room_bytes(state.end - hosted, state.end) - state.cache, computed)
    inside = np.minimum(blocks_of_cache(cost, rest, together), hosted)
    if ask.fixed:
        return np.where(state.end > 0, inside, 0)
    larger = blocks_within(cost, spare, together, capped=False)
    larger = np.minimum(larger, blocks_of_cache(cost, computed, together))
    used = np.where(larger > hosted, larger, inside)
    used = np.minimum(used, state.instance.reach[np.arange(len(used)), state.end])
    free = blocks_within(cost, spare, ((ask.head, tokens),), capped=False)
    free = np.minimum(free, state.instance.reach.max(axis=1))
    return np.clip(np.where(state.end > 0, used, free), 0, cost.problem.max_blocks)


def cheapest_chain(state: State, ask: Ask, rng: np.random.Generator) -> tuple[Visit, ...] | None:
    """The chain for the sessions asked for, None when nothing fits."""
    most = shortened(most_blocks(state, ask), ask, rng)
    instance = state.instance
    links = _Links(state, ask.row, most)
    if ask.fixed:
        return _Layers(instance, ask.row, most, links, []).best()
    chosen, complete = _candidates(state, ask, most)
    found = _Layers(instance, ask.row, most, links, rng.permutation(chosen).tolist()).best()
    if found is None and not complete:
        every = np.flatnonzero((state.end == 0) & (most > 0))
        found = _Layers(instance, ask.row, most, links, every.tolist()).best()
    return found


def shortened(most: IntArray, ask: Ask, rng: np.random.Generator) -> IntArray:
    """``most`` with some entries cut to a random part, at least one block."""
    if not ask.cut:
        return most
    part = np.ceil(most * rng.random(len(most))).astype(np.int64)
    return np.where(rng.random(len(most)) < ask.cut, part, most)


def _ranking(instance: Instance, row: int) -> IntArray:
    """(L, RANKED) the cheapest servers for a visit of 1, 2 ... L blocks."""
    known = instance.ranked.get(row)
    if known is None:
        every = np.arange(instance.hop_s.shape[1])
        blocks = np.arange(1, instance.length + 1)[:, None]
        cost = instance.hop_s[row] + instance.run_s[row].typical(every, blocks)
        known = np.argsort(cost, axis=1, kind="stable")[:, :RANKED].copy()
        instance.ranked[row] = known
    return known


def _candidates(state: State, ask: Ask, most: IntArray) -> tuple[IntArray, bool]:
    """Free servers worth considering, and whether these are all of them."""
    free = np.where(state.end > 0, 0, most)
    longest = int(free.max(initial=0))
    usable = np.flatnonzero(free)
    if len(usable) <= ask.width:
        return usable, True
    ranking = _ranking(state.instance, ask.row)[:longest]
    fits = free[ranking] >= np.arange(1, longest + 1)[:, None]
    first = fits & (np.cumsum(fits, axis=1) <= ask.width)
    chosen = np.zeros(len(free), dtype=bool)
    chosen[ranking[first]] = True
    return np.flatnonzero(chosen), False


class _Links:
    """The cheapest visit of a server in use from every block to every end."""

    def __init__(self, state: State, row: int, most: IntArray) -> None:
        instance, length = state.instance, state.instance.length
        servers = np.flatnonzero((state.end > 0) & (most > 0))
        servers = servers[np.argsort(state.end[servers], kind="stable")]
        self.servers, self.most = servers, most[servers]
        self.end = state.end[servers]
        self.hop, self.run = instance.hop_s[row][servers], instance.run_s[row]
        if not len(servers):
            self.ends = self.end
            return
        origin = np.arange(length + 1)
        run = self.end[:, None] - origin
        begin = np.minimum(origin, self.end[:, None])
        cost = self.hop[:, None] + self.run(servers[:, None], begin, self.end[:, None])
        cost[(run < 1) | (run > self.most[:, None])] = np.inf
        first = np.flatnonzero(np.diff(self.end, prepend=-1))
        self.ends = self.end[first]
        self.cost = np.minimum.reduceat(cost, first, axis=0)

    def relax(self, reach: FloatArray) -> FloatArray:
        """``reach`` after any number of visits to servers in use."""
        if not len(self.ends):
            return reach
        reach = reach.copy()
        while True:
            new = (self.cost + reach).min(axis=1)
            old = reach[self.ends]
            if not (new < old * (1.0 - EPS)).any():
                return reach
            reach[self.ends] = np.minimum(old, new)

    def into(self, end: int, reach: FloatArray) -> Visit:
        """The best last visit that leaves at ``end``."""
        at = int(np.searchsorted(self.ends, end))
        origin = int((self.cost[at] + reach).argmin())
        run = end - origin
        rows = np.flatnonzero((self.end == end) & (self.most >= run))
        best = rows[(self.hop[rows] + self.run(self.servers[rows], origin, end)).argmin()]
        return int(self.servers[best]), origin, end


class _Layers:
    """The dynamic programme: one layer for each free server that improves anything."""

    def __init__(
        self, instance: Instance, row: int, most: IntArray, links: _Links, servers: list[int]
    ) -> None:
        self.links, self.length, self.instance = links, instance.length, instance
        self.hop, self.run, self.most = instance.hop_s[row], instance.run_s[row], most
        entered = np.full(self.length + 1, np.inf)
        entered[0] = 0.0
        # (server, reach before it, reach with it, reach with servers in use after it)
        reach = links.relax(entered)
        self.layers = [(-1, entered, entered, reach)]
        for j in servers:
            taken = self._taken(j, reach)
            if (taken < reach * (1.0 - EPS)).any():
                entered = np.minimum(reach, taken)
                after = links.relax(entered)
                self.layers.append((j, reach, entered, after))
                reach = after
        self.reach = reach

    def _taken(self, j: int, reach: FloatArray) -> FloatArray:
        """(L + 1,) the cheapest way to each block by a visit to a free server."""
        ramp = self.run.ramp(j)
        if self.instance.free_ends[j]:
            least: FloatArray = window_min(reach - ramp, int(self.most[j])) + (ramp + self.hop[j])
            return least
        taken = np.full(self.length + 1, np.inf)
        for end in np.flatnonzero(self.instance.reach[j]).tolist():
            begin = self._begin(j, end)
            runs = self.run(j, np.arange(begin, end), end)
            taken[end] = (reach[begin:end] + runs).min() + self.hop[j]
        return taken

    def _begin(self, j: int, end: int) -> int:
        """The first block of the longest visit to a free server that ends there."""
        return end - min(int(self.most[j]), int(self.instance.reach[j, end]))

    def best(self) -> tuple[Visit, ...] | None:
        """The cheapest chain to the last block."""
        if self.reach[self.length] == np.inf:
            return None
        chain: list[Visit] = []
        at = self.length
        for j, before, entered, after in reversed(self.layers):
            while after[at] < entered[at]:
                chain.append(self.links.into(at, after))
                at = chain[-1][1]
            if j >= 0 and entered[at] < before[at]:
                begin = self._begin(j, at)
                runs = self.run(j, np.arange(begin, at), at)
                origin = begin + int((before[begin:at] + runs).argmin())
                chain.append((j, origin, at))
                at = origin
        return tuple(reversed(chain))
