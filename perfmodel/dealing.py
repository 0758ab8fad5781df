"""How requests are dealt over the stages of a layout (docs/model.md 16)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.jit import compiled
from .lanes import MOST_SENT, crossed
from .stages import NO_FLOW, Stages, rate_of

#: Sequences in a step when requests are dealt over stages of like blocks.
DEALT_ROWS = 8.0


class Dealt(NamedTuple):
    """How requests are dealt over a layout.

    Attributes
    ----------
    share : (n,) of the requests through each stage.
    pairs : (most, 2) of stages, one after the other, of which the first ``used[0]`` count; by the
        position at which they meet.
    flow : (most,) share of the requests over each pair.
    over : (2 U, 2) transfers over uplinks, of ``lanes.crossed``.
    """

    share: FloatArray
    pairs: IntArray
    flow: FloatArray
    used: IntArray
    over: FloatArray


@compiled
def deal_weight(g: Stages, i: int) -> float:
    """How much of the requests over like spans a stage takes."""
    rows = g.tokens[0] * (g.step_s[i] if g.serial[i] else g.row_s[i])
    more = 0.0 if g.serial[i] else DEALT_ROWS * g.step_s[i]
    weight: float = 1.0 / max(g.prompt_s[i] + rows + more, 1e-12)
    return weight


@compiled
def deal(
    g: Stages, start: IntArray, end: IntArray, most: FloatArray, weight: FloatArray, linked: bool
) -> Dealt:
    """Deal requests over a layout by what its stages can do, and what comes after them.

    A stage goes on to those that begin where it ends. What a position can pass on is the sum over
    the spans that begin there of the lesser of what they do and what their ends pass on; requests
    are dealt in proportion to it, over like spans by weight.

    Parameters
    ----------
    most : (n,) what each stage can do; weight : (n,) of it among like ones.
    linked : whether between places no more goes than over the links, in requests per second.
    """
    n, length = len(start), g.length[0]
    places = g.place.max() + 1 if n else 1
    starting, ending = np.full(length + 1, -1), np.full(length + 1, -1)
    next_start, next_end = np.full(n, -1), np.full(n, -1)
    pairs_left = 0
    for i in range(n - 1, -1, -1):
        if end[i] > start[i]:
            next_start[i], starting[start[i]] = starting[start[i]], i
            next_end[i], ending[end[i]] = ending[end[i]], i
    for i in range(n):
        j = starting[end[i]] if end[i] > start[i] else -1
        while j >= 0:
            pairs_left += 1
            j = next_start[j]
    # What each place passes on from each position; of like spans, by the first of them: which one
    # that is, what they do together, their weight, and what they take from each place.
    onward = np.zeros((places, length + 1))
    onward[:, length] = np.inf
    lead, does, weighs = np.zeros(n, np.int64), np.zeros(n), np.zeros(n)
    takes = np.zeros((places, n))
    for at in range(length - 1, -1, -1):
        i = starting[at]
        while i >= 0:
            j = starting[at]
            while g.place[j] != g.place[i] or end[j] != end[i]:
                j = next_start[j]
            lead[i] = j
            does[j] += most[i]
            weighs[j] += weight[i]
            i = next_start[i]
        for place in range(places):
            i = starting[at]
            while i >= 0:
                if lead[i] == i:
                    passed = min(does[i], onward[g.place[i], end[i]])
                    if linked and at > 0 and g.place[i] != place and passed > 0.0:
                        lists = starting[at], next_start, ending[at], next_end
                        passed = min(passed, _over_links(g, place, i, lead, *lists))
                        if len(g.lanes.gate_per_s) > 0:
                            passed = min(passed, g.lanes.gate_per_s[place, g.place[i]])
                    takes[place, i] = passed
                    onward[place, at] += passed
                i = next_start[i]
    share = np.zeros(n)
    pairs, flow = np.zeros((max(pairs_left, 1), 2), np.int64), np.zeros(max(pairs_left, 1))
    count = np.zeros(1, np.int64)
    for at in range(length):
        if starting[at] < 0:
            continue
        for place in range(places):
            inflow = 0.0
            if at == 0:
                # The clients are nowhere in particular: what is the same from every place.
                inflow = 1.0 if place == 0 else 0.0
            else:
                i = ending[at]
                while i >= 0:
                    if g.place[i] == place:
                        inflow += share[i]
                    i = next_end[i]
            if inflow <= NO_FLOW or onward[place, at] <= 0.0:
                continue
            j = starting[at]
            while j >= 0:
                part = takes[place, lead[j]] / onward[place, at] * weight[j] / weighs[lead[j]]
                j_share = inflow * part
                if j_share > NO_FLOW:
                    share[j] += j_share
                    i = ending[at]
                    while i >= 0:
                        if g.place[i] == place and share[i] > NO_FLOW:
                            pairs[count[0], 0], pairs[count[0], 1] = i, j
                            flow[count[0]] = share[i] * part
                            count[0] += 1
                        i = next_end[i]
                j = next_start[j]
    return Dealt(share, pairs, flow, count, crossed(g.lanes, start, share, pairs, flow, count[0]))


@compiled
def _over_links(
    g: Stages,
    place: int,
    first: int,
    lead: IntArray,
    starting: int,
    next_start: IntArray,
    ending: int,
    next_end: IntArray,
) -> float:
    """Requests per second over all links from a place to the spans like a first one."""
    links, i = 0.0, ending
    while i >= 0:
        if g.place[i] == place:
            j = starting
            while j >= 0:
                if lead[j] == first:
                    busy_s = g.prompt_send_s[i, j] + g.tokens[0] * g.step_send_s[i, j]
                    links += MOST_SENT / max(busy_s, 1e-12)
                j = next_start[j]
        i = next_end[i]
    return links


@compiled
def dealt_by_speed(g: Stages, start: IntArray, end: IntArray) -> Dealt:
    """Requests dealt by what servers and links do in a second."""
    most, weight = np.zeros(len(start)), np.zeros(len(start))
    for i in range(len(start)):
        if end[i] > start[i]:
            most[i], weight[i] = rate_of(g, i, end[i] - start[i]), deal_weight(g, i)
            if len(g.lanes.alone_per_s) > 0:
                most[i] = min(most[i], g.lanes.alone_per_s[i])
    return deal(g, start, end, most, weight, True)


@compiled
def dealt_by_ratings(g: Stages, start: IntArray, end: IntArray) -> Dealt:
    """Requests dealt by one largest flow of ratings and links, shortest paths first.

    As schedulers do it that solve for such a flow: of like servers some are used up and others
    left alone, few links are used, and where spans of two regions meet as much as can be crosses:
    it is the same flow. From stage to stage only at ends that meet.
    """
    n, length = len(start), g.length[0]
    starting, next_start = np.full(length + 1, -1), np.full(n, -1)
    ending, next_end = np.full(length + 1, -1), np.full(n, -1)
    for i in range(n - 1, -1, -1):
        if end[i] > start[i]:
            next_start[i], starting[start[i]] = starting[start[i]], i
            next_end[i], ending[end[i]] = ending[end[i]], i
    node, pair = np.zeros(n), np.zeros((n, n))
    # A server is met at its head (i) and at its tail (n + i); who led there, -1 = nobody yet.
    by, line = np.empty(2 * n, np.int64), np.empty(2 * n, np.int64)
    whole = 0.0
    while True:
        by[:] = -1
        head, tail, last = 0, 0, -1
        i = starting[0]
        while i >= 0:
            by[i], line[tail] = 2 * n, i
            tail += 1
            i = next_start[i]
        while head < tail and last < 0:
            at = line[head]
            head += 1
            if at < n:
                if by[n + at] < 0 and g.rated[at, end[at] - start[at]] - node[at] > NO_FLOW:
                    by[n + at], line[tail] = at, n + at
                    tail += 1
                i = ending[start[at]] if start[at] > 0 else -1
                while i >= 0:  # what comes from there may go elsewhere
                    if by[n + i] < 0 and pair[i, at] > NO_FLOW:
                        by[n + i], line[tail] = at, n + i
                        tail += 1
                    i = next_end[i]
                continue
            i = at - n
            if end[i] == length:
                last = at
                continue
            if by[i] < 0 and node[i] > NO_FLOW:
                by[i], line[tail] = at, i
                tail += 1
            for near in (False, True):  # to elsewhere first: the worst of like flows
                j = starting[end[i]]
                while j >= 0:
                    here = g.place[i] == g.place[j]
                    if here == near and by[j] < 0 and _link_rate(g, i, j) - pair[i, j] > NO_FLOW:
                        by[j], line[tail] = at, j
                        tail += 1
                    j = next_start[j]
        if last < 0:
            break
        more, at = np.inf, last
        while at != 2 * n:
            before = by[at]
            if before != 2 * n:
                more = min(more, _left(g, start, end, node, pair, before, at))
            at = before
        at = last
        while at != 2 * n:
            before = by[at]
            if before != 2 * n:
                _push(n, node, pair, before, at, more)
            at = before
        whole += more
    share, length_of = np.zeros(n), np.zeros(1, np.int64)
    pairs = np.zeros((max(1, (pair > NO_FLOW).sum()), 2), np.int64)
    flow = np.zeros(len(pairs))
    if whole <= 0.0:
        return Dealt(share, pairs, flow, length_of, np.zeros((len(g.lanes.send_s), 2)))
    share[:] = node / whole
    count = 0
    for at in range(1, length):
        i = ending[at]
        while i >= 0:
            j = starting[at]
            while j >= 0:
                if pair[i, j] > NO_FLOW:
                    pairs[count, 0], pairs[count, 1] = i, j
                    flow[count] = pair[i, j] / whole
                    count += 1
                j = next_start[j]
            i = next_end[i]
    length_of[0] = count
    over = crossed(g.lanes, start, share, pairs, flow, count)
    return Dealt(share, pairs, flow, length_of, over)


@compiled
def _link_rate(g: Stages, i: int, j: int) -> float:
    """Requests per second that a link carries."""
    busy_s = g.prompt_send_s[i, j] + g.tokens[0] * g.step_send_s[i, j]
    rate: float = 1.0 / max(busy_s, 1e-12)
    return rate


@compiled
def _left(
    g: Stages,
    start: IntArray,
    end: IntArray,
    node: FloatArray,
    pair: FloatArray,
    before: int,
    at: int,
) -> float:
    """What more may go from one head or tail to another one."""
    n = len(start)
    left = 0.0
    if before < n and at == n + before:
        left = g.rated[before, end[before] - start[before]] - node[before]
    elif before < n:
        left = pair[at - n, before]
    elif at == before - n:
        left = node[at]
    else:
        left = _link_rate(g, before - n, at) - pair[before - n, at]
    more: float = left
    return more


@compiled
def _push(n: int, node: FloatArray, pair: FloatArray, before: int, at: int, more: float) -> None:
    """So much more goes from one head or tail to another one."""
    if before < n and at == n + before:
        node[before] += more
    elif before < n:
        pair[at - n, before] -= more
    elif at == before - n:
        node[at] -= more
    else:
        pair[before - n, at] += more
