"""The compiled part of the fluid model: layouts of stages, and the rate at which they run.

Imported only where throughput is planned or requests are dealt by a flow: numba takes a while to
load. The functions are plain Python too. docs/model.md 16.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.jit import compiled
from .lanes import MOST_SENT, PROMPT, STEP, Lanes, crossed

#: Share of a server's time that a steady flow may fill; ``MOST_SENT`` is that of a link's.
MOST_BUSY = 0.98
#: Sequences in a step when requests are dealt over stages of like blocks.
DEALT_ROWS = 8.0
#: Requests for which a stage has no room go to others abreast of it: so many times those that fit
#: where each has just its share are in flight then.
ELSEWHERE = 1.15
#: Rounds of the bisection, and waiting for transfers that come in bursts.
ROUNDS, BURSTS = 24, 0.3
#: Flows below this share of all are none.
NO_FLOW = 1e-9
#: Rows of the figures of a layout.
RATE, CYCLE_S, FIRST_S, SESSIONS, ROOM = range(5)


class Stages(NamedTuple):
    """What stages do for the mean request; seconds for a block and on links.

    Attributes
    ----------
    prompt_s, step_s, row_s : (n,) a prompt, a step of one sequence and each further one, per block.
    prompt_more_s : (n,) way of a prompt into a stage beside its link; step_more_s : of a step.
    piece : (n,) whether a prompt keeps others waiting for one block alone.
    chunks : (n,) parts in which a prompt goes where steps share batches.
    serial : (n,) whether a stage works on one task at a time.
    slots : (n, K + 1) sessions that it has room for, by blocks; 0 where too many are hosted.
    rated : (n, K + 1) requests per second that it is rated at, by blocks.
    place : (n,) of its region.
    in_s, out_s : (n,) way from the clients and back to them.
    way_s, prompt_send_s, step_send_s : (n, n) way between two stages, and how long a link is busy
        with a prompt and a step.
    length : (1,) blocks of the model. tokens : (1,) steps of a request.
    lanes : the uplinks that links share.
    """

    prompt_s: FloatArray
    step_s: FloatArray
    row_s: FloatArray
    prompt_more_s: FloatArray
    step_more_s: FloatArray
    piece: FloatArray
    chunks: FloatArray
    serial: IntArray
    slots: FloatArray
    rated: FloatArray
    place: IntArray
    in_s: FloatArray
    out_s: FloatArray
    way_s: FloatArray
    prompt_send_s: FloatArray
    step_send_s: FloatArray
    length: IntArray
    tokens: FloatArray
    lanes: Lanes


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
def rate_of(g: Stages, i: int, blocks: int) -> float:
    """Requests per second that a stage of so many blocks takes, whatever its batches."""
    each_s = g.prompt_s[i] + g.tokens[0] * (g.step_s[i] if g.serial[i] else g.row_s[i])
    rate: float = MOST_BUSY / (blocks * max(each_s, 1e-12))
    return rate


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


@compiled
def room_of(g: Stages, start: IntArray, end: IntArray) -> float:
    """Sessions that a layout has room for: the largest flow over positions, by shortest paths."""
    n, length = len(start), g.length[0]
    free, used = np.zeros(n), np.zeros(n)
    starting, ending = np.full(length + 1, -1), np.full(length + 1, -1)
    next_start, next_end = np.full(n, -1), np.full(n, -1)
    for i in range(n):
        if end[i] > start[i]:
            free[i] = g.slots[i, end[i] - start[i]]
            next_start[i], starting[start[i]] = starting[start[i]], i
            next_end[i], ending[end[i]] = ending[end[i]], i
    line, by, room = np.zeros(length + 1, np.int64), np.zeros(length + 1, np.int64), 0.0
    while True:
        by[:] = -1
        by[0], line[0] = n, 0
        head, tail = 0, 1
        while head < tail and by[length] < 0:
            at = line[head]
            head += 1
            i = starting[at]
            while i >= 0:
                if free[i] > 0.0 and by[end[i]] < 0:
                    by[end[i]], line[tail] = i, end[i]
                    tail += 1
                i = next_start[i]
            i = ending[at]
            while i >= 0:  # what goes there already may take another way
                if used[i] > 0.0 and by[start[i]] < 0:
                    by[start[i]], line[tail] = i, start[i]
                    tail += 1
                i = next_end[i]
        if by[length] < 0:
            return room
        more, at = np.inf, length
        while at > 0:
            i = by[at]
            more = min(more, free[i] if end[i] == at else used[i])
            at = start[i] if end[i] == at else end[i]
        at = length
        while at > 0:
            i = by[at]
            change = more if end[i] == at else -more
            free[i] -= change
            used[i] += change
            at = start[i] if end[i] == at else end[i]
        room += more


@compiled
def measure(
    g: Stages, start: IntArray, end: IntArray, dealt: Dealt, figures: FloatArray, least: float
) -> float:
    """Requests per second that a layout sustains with as many sessions as it has room for.

    Parameters
    ----------
    figures : receives the rate, the seconds of a step and of a first token, the sessions in flight
        and the sessions that there is room for.
    least : what is below it is told as 0: to know that costs less than to know how much it is.
    """
    figures[:] = 0.0
    most, strict = np.inf, np.inf
    for i in range(len(start)):
        if dealt.share[i] > NO_FLOW:
            most = min(most, rate_of(g, i, end[i] - start[i]) / dealt.share[i])
            strict = min(strict, g.slots[i, end[i] - start[i]] / dealt.share[i])
    for p in range(dealt.used[0]):
        i, j = dealt.pairs[p, 0], dealt.pairs[p, 1]
        busy_s = g.prompt_send_s[i, j] + g.tokens[0] * g.step_send_s[i, j]
        if busy_s > 0.0:
            most = min(most, MOST_SENT / (busy_s * dealt.flow[p]))
    for lane in range(len(dealt.over)):
        busy_s = dealt.over[lane, PROMPT] * g.lanes.send_s[lane, PROMPT]
        busy_s += g.tokens[0] * dealt.over[lane, STEP] * g.lanes.send_s[lane, STEP]
        if busy_s > 0.0:
            most = min(most, MOST_SENT / busy_s)
    if not np.isfinite(most) or most < least:
        return 0.0
    room = min(room_of(g, start, end), ELSEWHERE * strict)
    figures[ROOM] = room
    if room < 1.0:
        return 0.0
    low, high = max(least, 0.0), most
    if low > 0.0:  # those in flight grow with the rate
        in_flight(g, start, end, dealt, low, figures)
        if figures[SESSIONS] > room:
            return 0.0
    in_flight(g, start, end, dealt, high, figures)
    if figures[SESSIONS] > room:
        for _ in range(ROUNDS):
            middle = 0.5 * (low + high)
            in_flight(g, start, end, dealt, middle, figures)
            if figures[SESSIONS] <= room:
                low = middle
            else:
                high = middle
            if high - low < 1e-4 * high:
                break
        in_flight(g, start, end, dealt, low, figures)
    rate: float = figures[RATE]
    return rate


@compiled
def in_flight(
    g: Stages, start: IntArray, end: IntArray, dealt: Dealt, rate: float, figures: FloatArray
) -> None:
    """Seconds of a step and of a first token at a rate, and the sessions that are there then."""
    tokens = g.tokens[0]
    fixed, prompt_fixed, step, prompt, behind = 0.0, 0.0, 0.0, 0.0, 0.0
    # Of tokens that come to a stage, how many come right behind a prompt.
    follow = np.zeros(len(start))
    for p in range(dealt.used[0]):
        i, j, flow = dealt.pairs[p, 0], dealt.pairs[p, 1], dealt.flow[p]
        fixed += flow * g.way_s[i, j]
        if len(g.lanes.way_s) > 0:
            prompt_fixed += flow * g.lanes.way_s[i, j]
        prompt_send_s, step_send_s = g.prompt_send_s[i, j], g.step_send_s[i, j]
        prompt_s = 0.0 if g.serial[i] else (end[i] - start[i]) * g.prompt_s[i]
        caught = _caught(follow[i], rate * dealt.share[i] * g.chunks[i], prompt_s / g.chunks[i])
        there = flow / dealt.share[i] * caught
        if prompt_send_s > 0.0:
            mine = rate * flow
            free = 1.0 - min(mine * (prompt_send_s + tokens * step_send_s), MOST_SENT)
            step += flow * step_send_s / free
            step += BURSTS * flow * mine * prompt_send_s * prompt_send_s / (2.0 * free)
            prompt += flow * prompt_send_s
            behind += flow * _held_up(there, mine, prompt_send_s)
            there = _caught(there, mine, prompt_send_s)
        follow[j] += flow / dealt.share[j] * there
    for i in range(len(start)):
        share = dealt.share[i]
        if share <= NO_FLOW:
            continue
        k, mine = end[i] - start[i], rate * share
        prompt_s = k * g.prompt_s[i]
        if start[i] == 0:
            fixed += share * g.in_s[i]
        if end[i] == g.length[0]:
            fixed += share * g.out_s[i]
        fixed += share * g.step_more_s[i]
        prompt_fixed += share * (g.prompt_more_s[i] - g.step_more_s[i])
        if g.serial[i]:
            work_s = k * g.step_s[i]
            busy = min(mine * (prompt_s + tokens * work_s), MOST_BUSY)
            behind_s = prompt_s / k if g.piece[i] else prompt_s
            wait_s = mine * (tokens * work_s * work_s + prompt_s * behind_s)
            step += share * (work_s + wait_s / (2.0 * (1.0 - busy)))
        else:
            busy = min(mine * (prompt_s + tokens * k * g.row_s[i]), MOST_BUSY)
            round_s = k * g.step_s[i] / (1.0 - busy)
            rows = mine * tokens * round_s
            step += share * 1.5 * k * (g.step_s[i] + g.row_s[i] * rows)
            chunks = g.chunks[i]
            behind += share * _held_up(follow[i], mine * chunks, prompt_s / chunks)
            # Each part of a prompt but the first one waits for the steps that go with it.
            prompt += share * (chunks - 1.0) * k * (g.step_s[i] + g.row_s[i] * rows)
        prompt += share * prompt_s
    for lane in range(len(dealt.over)):  # what a transfer takes alone is in its way
        prompt_send_s, step_send_s = g.lanes.send_s[lane, PROMPT], g.lanes.send_s[lane, STEP]
        prompts, steps = dealt.over[lane, PROMPT], dealt.over[lane, STEP]
        load = prompts * prompt_send_s + tokens * steps * step_send_s
        sent = min(rate * load, MOST_SENT)
        bursts = BURSTS * rate * prompts * prompt_send_s * prompt_send_s / 2.0
        step += steps * (step_send_s * sent + bursts) / (1.0 - sent)
        behind += steps * _held_up(0.0, rate * prompts, prompt_send_s)
    figures[RATE], figures[CYCLE_S] = rate, fixed + step + behind
    figures[FIRST_S] = fixed + prompt_fixed + step + prompt
    figures[SESSIONS] = rate * (tokens * figures[CYCLE_S] + figures[FIRST_S])


@compiled
def _caught(follow: float, per_s: float, prompt_s: float) -> float:
    """Share of the tokens that leave a stage or a link right behind a prompt.

    Nothing overtakes a prompt: who comes within ``prompt_s`` of one leaves with it.

    Parameters
    ----------
    follow : share of those that come right behind one; the last one came at any time before the
        others, prompts coming at random.
    per_s, prompt_s : prompts that come in a second, and how long each takes.
    """
    caught: float = follow + (1.0 - follow) * -np.expm1(-per_s * prompt_s)
    return caught


@compiled
def _held_up(follow: float, per_s: float, prompt_s: float) -> float:
    """Seconds that a token waits there for prompts before it; parameters as of ``_caught``."""
    if per_s <= 0.0 or prompt_s <= 0.0:
        return 0.0
    alone = prompt_s + np.expm1(-per_s * prompt_s) / per_s
    held_up: float = follow * prompt_s + (1.0 - follow) * alone
    return held_up


@compiled
def sustains(
    g: Stages, start: IntArray, end: IntArray, rated: bool, figures: FloatArray, least: float
) -> float:
    """Requests per second of a layout, dealt by speed.

    ``figures`` and ``least`` are as of ``measure``.

    Parameters
    ----------
    rated : the least of that and of what it does dealt by ratings; another largest flow than that
        one would lie somewhere between.
    """
    rate: float = measure(g, start, end, dealt_by_speed(g, start, end), figures, least)
    if rated and rate > 0.0:
        other = measure(g, start, end, dealt_by_ratings(g, start, end), figures, least)
        rate = min(rate, other)
    return rate
