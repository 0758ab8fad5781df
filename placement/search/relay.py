"""The cheapest chain for some sessions beside all others: server relay.

The cost of a hop depends on the server before, so order matters. Labels at block positions: the
cheapest chain found to each block is extended by every server that it does not pass yet. Exact
for the first hop, a heuristic beyond (a dearer chain may end at a better placed server).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core.content import FloatArray, IntArray
from ...core.jit import compiled
from ...perfmodel.plain import run_of
from .insert import Ask, most_blocks, shortened
from .layers import Visiting
from .state import State, Visit

#: Share of the servers of a cheapest chain that is left out at random: the search sees other ones.
LEFT_OUT = 0.05


class Labels(NamedTuple):
    """The cheapest chain found to each block.

    Attributes
    ----------
    cost : (L + 1,) seconds, inf where there is none.
    last : (L + 1,) its last server, -1 at the beginning; begin : where that one's visit begins.
    """

    cost: FloatArray
    last: IntArray
    begin: IntArray


def cheapest_chain_relayed(
    state: State, ask: Ask, rng: np.random.Generator
) -> tuple[Visit, ...] | None:
    """The chain for the sessions asked for, None when nothing is found."""
    instance, length = state.instance, state.instance.length
    most = shortened(most_blocks(state, ask), ask, rng)
    if not ask.fixed:
        most = np.where(rng.random(len(most)) > LEFT_OUT, most, 0)
    paid, relay = instance.paid[ask.row], instance.cost.relaying
    back, ways = relay.back_s(paid), instance.ways(ask.row)
    labels = Labels(np.full(length + 1, np.inf), *np.full((2, length + 1), -1))
    labels.cost[0] = 0.0
    visiting, origin = instance.visiting[ask.row], 0
    after = np.zeros(len(most)) if back is None else np.array(back)
    while True:
        origin = extend(visiting, *ways, after, state.end, most, labels, origin)
        if origin == length:
            break
        last = int(labels.last[origin])  # ways that nobody has gone yet
        ways.into[last], ways.known[last] = relay.into_s(paid, last), True
    return _chain(labels, length)


def _chain(labels: Labels, at: int) -> tuple[Visit, ...] | None:
    visits: list[Visit] = []
    while at and labels.last[at] >= 0:
        begin = int(labels.begin[at])
        visits.append((int(labels.last[at]), begin, at))
        at = begin
    return tuple(reversed(visits)) or None


@compiled
def extend(
    visiting: Visiting,
    into: FloatArray,
    known: NDArray[np.bool_],
    after: FloatArray,
    end: IntArray,
    most: IntArray,
    labels: Labels,
    origin: int,
) -> int:
    """Extend the chains to all blocks from ``origin`` on; the block at which that cannot go on,
    since it is not known what the way from its last server costs, or the last one.

    Parameters
    ----------
    into : (n + 1, n) seconds into each server after each other one, and after the client.
    known : (n + 1,) after which of them.
    after : (n,) seconds of the way back.
    end : (n,) of servers in use, 0 for the others.
    most : (n,) most blocks that each can run.
    """
    length = len(labels.cost) - 1
    for begin in range(origin, length):
        last = labels.last[begin]
        if labels.cost[begin] == np.inf:
            continue
        if not known[last]:
            return begin
        passed = np.zeros(len(end), np.bool_)
        at = begin
        while at:
            passed[labels.last[at]] = True
            at = labels.begin[at]
        for j in range(len(end)):
            if passed[j] or not most[j]:
                continue
            first, furthest = begin + 1, min(begin + most[j], length)
            if end[j]:
                first, furthest = max(first, end[j]), min(furthest, end[j])
            for stop in range(first, furthest + 1):
                if stop - begin > visiting.reach[j, stop]:
                    continue
                found = labels.cost[begin] + into[last, j] + run_of(visiting.run, j, begin, stop)
                if stop == length:
                    found += after[j]
                if found < labels.cost[stop]:
                    labels.cost[stop], labels.last[stop], labels.begin[stop] = found, j, begin
    return length
