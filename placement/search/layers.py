"""The dynamic programme of an insertion, compiled: over free servers in turn, and blocks done.

A visit of server j from block b to block e costs ``hop[j]`` and the run of these blocks. Servers in
use keep their ends; each free server is taken at most once, in the order given.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core.content import FloatArray, IntArray
from ...core.jit import compiled
from ...perfmodel.plain import Plain, run_of

#: Improvements below this, relative, are rounding.
EPS = 1e-12


class Visiting(NamedTuple):
    """What visits of one class cost, and may be.

    Attributes
    ----------
    hop : (n,) seconds of a hop.
    run : seconds of the blocks it runs.
    reach : (n, L + 1) most blocks of a span that ends at each block.
    """

    hop: FloatArray
    run: Plain
    reach: IntArray


@compiled
def visit_s(visiting: Visiting, server: int, start: int, end: int) -> float:
    """Seconds of a visit."""
    return float(visiting.hop[server] + run_of(visiting.run, server, start, end))


@compiled
def nearest(ranking: IntArray, end: IntArray, most: IntArray, width: int) -> tuple[IntArray, bool]:
    """Free servers among the cheapest ``width`` that can run 1, 2 ... blocks, and whether these
    are all.

    Parameters
    ----------
    ranking : (L, ranked) servers by what a visit of so many blocks costs.
    end : (n,) of servers in use, 0 for the others.
    most : (n,) most blocks that each can run.
    """
    chosen = np.zeros(len(end), np.bool_)
    usable, longest = 0, 0
    for server in range(len(end)):
        if not end[server] and most[server] > 0:
            usable, longest = usable + 1, max(longest, most[server])
    if usable <= width:
        for server in range(len(end)):
            chosen[server] = not end[server] and most[server] > 0
        return numbers(chosen, usable), True
    found = 0
    for blocks in range(1, longest + 1):
        left = width
        for server in ranking[blocks - 1]:
            if not end[server] and most[server] >= blocks:
                found += not chosen[server]
                chosen[server] = True
                left -= 1
                if not left:
                    break
    return numbers(chosen, found), False


@compiled
def numbers(chosen: NDArray[np.bool_], count: int) -> IntArray:
    """Which are chosen, by number; so many are."""
    found, at = np.empty(count, np.int64), 0
    for server in range(len(chosen)):
        if chosen[server]:
            found[at] = server
            at += 1
    return found


@compiled
def by_ends(end: IntArray, most: IntArray, length: int) -> IntArray:
    """Servers in use that can run anything, by their ends."""
    first, count = np.zeros(length + 2, np.int64), 0
    for server in range(len(end)):
        if end[server] and most[server] > 0:
            first[end[server] + 1] += 1
            count += 1
    for at in range(1, length + 2):
        first[at] += first[at - 1]
    found = np.empty(count, np.int64)
    for server in range(len(end)):
        if end[server] and most[server] > 0:
            found[first[end[server]]] = server
            first[end[server]] += 1
    return found


@compiled
def cheapest(visiting: Visiting, end: IntArray, most: IntArray, free: IntArray) -> IntArray:
    """(visits, 3) server, first block and end of every visit of the cheapest chain, the last one
    first; none where there is no chain.

    Parameters
    ----------
    end : (n,) of servers in use, 0 for the others.
    most : (n,) most blocks that each can run.
    free : servers not in use that may be taken, in this order.
    """
    # Loops where numpy has a word for it: that takes seconds longer to compile.
    length = visiting.reach.shape[1] - 1
    used = by_ends(end, most, length)
    # before[i], entered[i], after[i]: the cheapest way to each block before free server i, with it,
    # and with servers in use after it; taken[i] is that server.
    layers = len(free) + 1
    before, entered = np.empty((layers, length + 1)), np.empty((layers, length + 1))
    after, taken = np.empty((layers, length + 1)), np.empty(layers, np.int64)
    for at in range(length + 1):
        before[0, at] = entered[0, at] = after[0, at] = np.inf if at else 0.0
    taken[0] = -1
    _pass_used(visiting, end, most, used, after[0])
    count = 1
    for server in free:
        reach = after[count - 1]
        for at in range(length + 1):
            before[count, at] = entered[count, at] = reach[at]
        if _enter(visiting, server, most[server], reach, entered[count]):
            for at in range(length + 1):
                after[count, at] = entered[count, at]
            _pass_used(visiting, end, most, used, after[count])
            taken[count] = server
            count += 1
    chain = np.empty((length, 3), np.int64)
    if after[count - 1, length] == np.inf:
        return chain[:0]
    at, visits = length, 0
    for layer in range(count - 1, -1, -1):
        while after[layer, at] < entered[layer, at]:
            server, begin = _by_used(visiting, end, most, used, after[layer], at)
            chain[visits, 0], chain[visits, 1], chain[visits, 2] = server, begin, at
            visits, at = visits + 1, begin
        if taken[layer] >= 0 and entered[layer, at] < before[layer, at]:
            server = taken[layer]
            begin = _begun(visiting, server, most[server], before[layer], at)
            chain[visits, 0], chain[visits, 1], chain[visits, 2] = server, begin, at
            visits, at = visits + 1, begin
    return chain[:visits]


@compiled
def _pass_used(
    visiting: Visiting, end: IntArray, most: IntArray, used: IntArray, reach: FloatArray
) -> None:
    """Lower ``reach`` by any number of visits to servers in use, which come by their ends: whoever
    ends there has been passed before another one begins."""
    for server in used:
        at = end[server]
        for begin in range(max(0, at - most[server]), at):
            found = reach[begin] + visit_s(visiting, server, begin, at)
            if found < reach[at] * (1.0 - EPS):
                reach[at] = found


@compiled
def _by_used(
    visiting: Visiting, end: IntArray, most: IntArray, used: IntArray, reach: FloatArray, at: int
) -> tuple[int, int]:
    """The server in use that leads to a block at the least cost, and where its visit begins."""
    least, by, origin = np.inf, -1, -1
    for server in used:
        if end[server] == at:
            for begin in range(max(0, at - most[server]), at):
                found = reach[begin] + visit_s(visiting, server, begin, at)
                if found < least:
                    least, by, origin = found, server, begin
    return by, origin


@compiled
def _enter(
    visiting: Visiting, server: int, most: int, reach: FloatArray, entered: FloatArray
) -> bool:
    """Lower ``entered``, a copy of ``reach``, by one visit to a free server; whether it did."""
    lowered = False
    for at in range(1, len(reach)):
        for begin in range(at - min(most, visiting.reach[server, at]), at):
            found = reach[begin] + visit_s(visiting, server, begin, at)
            if found < entered[at] * (1.0 - EPS):
                entered[at], lowered = found, True
    return lowered


@compiled
def _begun(visiting: Visiting, server: int, most: int, reach: FloatArray, at: int) -> int:
    """Where the visit of a free server begins that leads to a block at the least cost."""
    least, origin = np.inf, -1
    for begin in range(at - min(most, visiting.reach[server, at]), at):
        found = reach[begin] + visit_s(visiting, server, begin, at)
        if found < least:
            least, origin = found, begin
    return origin
