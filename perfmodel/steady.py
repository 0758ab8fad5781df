"""The rate at which a layout of stages runs, with as many sessions as it has room for
(docs/model.md 16)."""

from __future__ import annotations

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.jit import compiled
from .dealing import Dealt, dealt_by_ratings, dealt_by_speed
from .lanes import MOST_SENT, PROMPT, STEP
from .stages import MOST_BUSY, NO_FLOW, Stages, rate_of

#: Requests for which a stage has no room go to others abreast of it: so many times those that fit
#: where each has just its share are in flight then.
ELSEWHERE = 1.15
#: Rounds of the bisection, and waiting for transfers that come in bursts.
ROUNDS, BURSTS = 24, 0.3
#: Rows of the figures of a layout.
RATE, CYCLE_S, FIRST_S, SESSIONS, ROOM = range(5)


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
