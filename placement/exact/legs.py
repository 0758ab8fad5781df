"""Server relay: the cheapest way through every set of servers, and chains priced with it.

A chain's time is that of its servers' blocks, which knows no order, and that of the way from the
client through its servers and back, which knows no blocks. So over all sets of servers,

    ``cheapest chain = min over sets (cheapest way through the set + knapsack that uses all of it)``

is exact but for one thing: the client hears every server's answer, and where a server in the middle
answers later than the last one a chain takes longer than its way. Sets double with every server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.content import FloatArray, IntArray
from ...perfmodel.cost import CostModel

#: Usable servers up to which every set of them is looked at.
MOST_SERVERS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Legs:
    """Ways of whole classes through sets of servers, in the data's unit.

    Attributes
    ----------
    servers : (s,) those that sets are made of, in the order of their bits.
    into : (C, s + 1, s) the way into each server after each one; the last row is the client.
    back : (C, s) the way back from each server.
    way : (C, 2^s) the cheapest way through each set and back; inf for the empty one.
    """

    servers: IntArray
    into: FloatArray
    back: FloatArray
    way: FloatArray

    @classmethod
    def of(
        cls, cost: CostModel, clients: Sequence[int], scale: FloatArray, servers: IntArray
    ) -> Legs:
        """The ways among some servers; ``scale`` (C,) is what a second of each class counts."""
        relay, paid = cost.relaying, [cost.planned(c) for c in clients]
        before = [*servers.tolist(), -1]
        into = np.array([[relay.into_s(p, i)[servers] for i in before] for p in paid])
        back = np.array([np.zeros(len(servers)) if (b := relay.back_s(p)) is None else b[servers]
                         for p in paid])  # fmt: skip
        into, back = into * scale[:, None, None], back * scale[:, None]
        return cls(servers=servers, into=into, back=back, way=cheapest_ways(into, back))

    def of_chain(self, row: int, servers: Sequence[int]) -> float:
        """The cheapest way of a class through some servers."""
        bits = np.searchsorted(self.servers, servers)
        return float(self.way[row, int((1 << bits).sum())])


def cheapest_ways(into: FloatArray, back: FloatArray) -> FloatArray:
    """(C, 2^s) the cheapest order of every set, by sets of one server more at a time."""
    classes, count = back.shape
    sets = np.arange(1 << count)
    member = (sets[:, None] >> np.arange(count)) & 1 == 1
    size = member.sum(axis=1)
    # ending[c, S, j]: through all of S, ending at j.
    ending = np.full((classes, len(sets), count), np.inf)
    for j in range(count):
        ending[:, 1 << j, j] = into[:, count, j]
    for larger in range(2, count + 1):
        for j in range(count):
            grown = sets[(size == larger) & member[:, j]]
            shorter = ending[:, grown ^ (1 << j), :]
            ending[:, grown, j] = (shorter + into[:, None, :count, j]).min(axis=2)
    found: FloatArray = (ending + back[:, None, :]).min(axis=2)
    return found


def set_tables(costs: Sequence[FloatArray], classes: int, length: int) -> FloatArray:
    """(C, 2^s, L + 1) least cost of 0..L blocks run by *all* servers of a set.

    Parameters
    ----------
    costs : of each server, (C, K): what 1..K blocks cost there.
    """
    tables = np.full((classes, 1 << len(costs), length + 1), np.inf)
    tables[:, 0, 0] = 0.0
    for bit, cost in enumerate(costs):
        without, grown = tables[:, : 1 << bit], tables[:, 1 << bit : 2 << bit]
        for k in range(1, min(cost.shape[1], length) + 1):
            if np.isfinite(cost[:, k - 1]).any():
                taken = without[:, :, :-k] + cost[:, k - 1, None, None]
                np.minimum(grown[:, :, k:], taken, out=grown[:, :, k:])
    return tables


class OrderedChains:
    """The cheapest chain of every class; ``cost[c]`` is inf where there is none.

    Parameters
    ----------
    costs : of each of the legs' servers, (C, K): what 1..K blocks cost a class there.
    base : (C,) what every chain of a class pays beside.
    """

    def __init__(
        self, legs: Legs, costs: Sequence[FloatArray], base: FloatArray, length: int
    ) -> None:
        self._legs, self._costs, self._length = legs, costs, length
        self._tables = set_tables(costs, len(base), length)
        whole = self._tables[:, :, -1] + legs.way
        self._best = whole.argmin(axis=1)
        self.cost: FloatArray = whole.min(axis=1) + base

    def chain(self, row: int) -> tuple[tuple[int, int], ...]:
        """(server, blocks) of the cheapest chain of a class, which must exist."""
        chosen, at = int(self._best[row]), self._length
        visits: list[tuple[int, int]] = []
        for bit in reversed(range(len(self._costs))):
            if chosen >> bit & 1:
                chosen ^= 1 << bit
                cost = self._costs[bit][row]
                run = np.arange(1, min(len(cost), at) + 1)
                k = int(run[(self._tables[row, chosen, at - run] + cost[run - 1]).argmin()])
                visits.append((int(self._legs.servers[bit]), k))
                at -= k
        return tuple(visits)

    def through(self) -> list[FloatArray]:
        """(C, K) for every server: the cheapest chain that runs just 1..K blocks there, less what
        every chain of the class pays beside."""
        sets, found = np.arange(self._tables.shape[1]), []
        for bit, cost in enumerate(self._costs):
            without = sets[(sets >> bit) & 1 == 0]
            way = self._legs.way[:, without | (1 << bit), None]
            rest = (self._tables[:, without] + way).min(axis=1)
            run = np.arange(1, cost.shape[1] + 1)
            found.append(rest[:, self._length - run] + cost)
        return found
