"""A whole run, compiled: requests that try and pause, routed by ``overlap``, worked on exactly.

What ``engine.simulate`` does where nothing fails and no request outgrows its reservation; of each
request it tells the first token and the end. docs/model.md 3.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..chains.sweep import Net, arrived, set_out, sooner, sweep, walk_back
from ..core.content import FloatArray, IntArray
from ..core.jit import compiled
from ..perfmodel import crowding, flat
from ..routing import waiting
from ..routing.sweep import crowding_s
from . import books, drafts, heap, tasks
from .session import CLOSE_TOKENS

# Compiled code finds functions by their names in its own module.
_advance, _enter, _begin, _go_on = tasks.advance, tasks.enter, tasks.begin, tasks.go_on
_push, _pop, _MADE, _TIRED = heap.push, heap.pop, tasks.MADE, tasks.TIRED
_ready_s, _hold, _drop = books.ready_s, books.hold, books.drop
_join, _leave_line, _tell = crowding.join, crowding.leave, crowding.tell
_settle, _beside = crowding.settle, crowding.beside
_into_s, _gap_s, _link_s, _held_bytes = flat.into_s, flat.gap_s, flat.link_s, flat.held_bytes
_step_run_s, _prompt_run_s, _prompt_work_s = (
    flat.step_run_s,
    flat.prompt_run_s,
    flat.prompt_work_s,
)
_ROOM, _END, _LUCK, _PLAIN = drafts.ROOM, drafts.END, drafts.LUCK, len(tasks.State._fields)
_pass_run_s, _pass_tasks = flat.pass_run_s, flat.pass_tasks
_growing_work_s, _prompt_tasks = flat.growing_work_s, flat.prompt_tasks

_pause_s = compiled(waiting.pause_s)
_EVENTS, _LONGEST_PAUSE_S = 1_000_000, waiting.LONGEST_PAUSE_S
#: What ``Run.tally`` counts: free slots, running sessions, failed tries.
_SPARE, _RUNNING, TRIES = 0, 1, 2
#: A request, in order of arrival. expected : 0 where the reservation is all that is known.
#: planned, step_s, pass_s, end_s : tokens, time per token and per pass and end that are expected of
#: it. slot, hops : its place in the task engine and the length of its path. way : in
#: which it drafts; luck : what decides which drafts are right. first_s, finish_s : nan until known.
#: ages_s : time that all requests so far had spent in the swarm when it came.
REQUEST = np.dtype(
    [(name, np.int64) for name in ("shape", "prompt", "output", "reserved", "expected")]
    + [(name, np.int64) for name in ("planned", "tries", "slot", "hops", "way", "luck")]
    + [(name, np.float64) for name in ("arrival_s", "step_s", "pass_s", "end_s")]
    + [(name, np.float64) for name in ("first_s", "finish_s", "ages_s")]
)


class Calendar(NamedTuple):
    """Tries to come, as the calendar of ``tasks.State``; a key is try number * R + request."""

    events: NDArray[np.void]
    size: IntArray


class Run(NamedTuple):
    """All of one run.

    Attributes
    ----------
    request : (R,) of REQUEST. path : (R, most hops) links of its chain.
    drafts : (ways, most) how sessions draft, rows of ``drafts.row_of``.
    seat, end : (n,) of ``books.SEAT``, (n, most) of ``books.END``.
    line, met : sessions by slot; (n,) room for ``crowding.beside``.
    slot : (2, slots) the request in each slot of the task engine; the free ones.
    tally : (3,).
    """

    net: Net
    costs: flat.FlatCosts
    request: NDArray[np.void]
    drafts: FloatArray
    path: IntArray
    seat: NDArray[np.void]
    end: NDArray[np.void]
    line: crowding.Line
    met: FloatArray
    slot: IntArray
    tally: IntArray
    tries: Calendar
    state: tasks.AnyState


@compiled
def run(r: Run, most_s: FloatArray) -> int:
    """Run until all is done, or an arrival finds ages above ``most_s`` (R,); arrivals let in."""
    total, at = len(r.request), 0
    present, gone_s, since_s = 0, 0.0, 0.0  # requests here, ages of those gone, arrivals of these
    while True:
        again_s = r.tries.events[0]["time_s"] if r.tries.size[0] > 0 else np.inf
        next_s = r.request[at]["arrival_s"] if at < total else np.inf
        why, now_s, slot = _advance(r.state, min(again_s, next_s), _EVENTS)
        if why == _TIRED:
            continue
        if why == _MADE:
            row = r.slot[0, slot]
            made = r.state.sessions[slot]["made"]
            if made < r.request[row]["output"]:
                _outlast(r.net.link, r.request[row], r.path[row], r.seat, r.end, row, made, now_s)
                left = r.request[row]["planned"] - made
                passes = r.costs.shape[r.request[row]["shape"]]["passes"]
                _tell(r.line, slot, left * passes, now_s)
                r.state.sessions[slot]["stop"] = _stop_at(r.request[row])
                _go_on(r.state, slot)
                continue
            r.request[row]["finish_s"] = now_s
            r.request[row]["first_s"] = r.state.sessions[slot]["first_s"]
            _leave(r, row)
            _leave_line(r.line, slot)
            r.state.sessions[slot]["key"] = -1
            r.slot[1, r.tally[_SPARE]] = slot
            r.tally[_SPARE] += 1
            r.tally[_RUNNING] -= 1
            gone_s += now_s - r.request[row]["arrival_s"]
        else:
            if again_s <= next_s:
                if again_s == np.inf:
                    return total
                row, now_s = r.tries.events[0]["key"] % total, again_s
                _pop(r.tries)
            else:
                row, now_s = at, next_s
                at += 1
                present += 1
                since_s += now_s
                r.request[row]["ages_s"] = gone_s + present * now_s - since_s
                if r.request[row]["ages_s"] > most_s[row]:
                    return row
            hops = _decide(r, row, now_s)
            if hops > 0 and _open(r, row, hops, now_s):
                continue
            if hops > 0 and _pause(r.request[row], r.tally, r.tries, row, now_s, total):
                continue
        present -= 1
        since_s -= r.request[row]["arrival_s"]


@compiled
def _pause(request: Any, tally: IntArray, tries: Any, row: int, now_s: float, total: int) -> bool:
    """Come back later; not where nothing runs that could make room, after a while, as ``Retry``."""
    tried = request["tries"]
    if tally[_RUNNING] == 0 and tried > 0 and _pause_s(tried) >= _LONGEST_PAUSE_S:
        return False
    request["tries"] = tried + 1
    tally[TRIES] += 1
    _push(tries, now_s + _pause_s(tried + 1), tally[TRIES] * total + row)
    return True


@compiled
def _decide(r: Run, row: int, now_s: float) -> int:
    """Fill in the path of a request, as ``Overlap``; its hops, 0 where no chain can hold it."""
    link, between_s, request = r.net.link, r.costs.between_s, r.request[row]
    shape = r.costs.shape[request["shape"]]
    price, way = r.costs.price[request["shape"]], r.costs.way[shape["client"]]
    later, passes = shape["planned"] - 1, shape["passes"]
    leave_s = np.zeros(0) if len(between_s) == 0 else later * (passes * (way["rtt_s"] / 2))
    if np.isnan(shape["step_s"]):
        for at in link:
            j, blocks = at["server"], at["end"] - at["origin"]
            at["cost_s"] = _link_s(shape, price, way, between_s, at["previous"], j, blocks)
        _, fastest_s = sweep(r.net, leave_s, False)
        token_s = fastest_s / shape["planned"] + shape["draft_s"]
        shape["step_s"] = max(token_s, 1e-9) / passes
    steps = later * passes
    _settle(r.line, now_s)
    _beside(r.line, steps, now_s, r.met)
    last = _with_room(r, row, now_s, leave_s, steps)
    if last == -2:  # nobody has room: the chain that is done first
        for at in link:
            alone_s = _link_s(
                shape, price, way, between_s, at["previous"], at["server"], at["end"] - at["origin"]
            )
            crowded_s = alone_s + _crowded_s(r, row, at, steps)
            at["full_s"] = crowded_s + _wait_s(r, row, at, now_s)
        last, _ = sweep(r.net, leave_s, True)
    return 0 if last == -2 else walk_back(r.net, last, r.path[row])


@compiled
def _with_room(r: Run, row: int, now_s: float, leave_s: FloatArray, steps: float) -> int:
    """The end of the cheapest chain of links that have room, as of ``sweep``.

    What a link suffers and causes is looked at only where its time alone does not rule it out.
    """
    link, node, group, between_s = r.net.link, r.net.node, r.net.group, r.costs.between_s
    shape = r.costs.shape[r.request[row]["shape"]]
    price, way = r.costs.price[r.request[row]["shape"]], r.costs.way[shape["client"]]
    set_out(r.net)
    for g in range(len(group) - 1):
        least_s, best = np.inf, -1
        for e in range(group[g, 1], group[g + 1, 1]):
            at = link[e]
            reached_s = node[at["tail"]]["least_s"]
            j, blocks = at["server"], at["end"] - at["origin"]
            cost_s = _link_s(shape, price, way, between_s, at["previous"], j, blocks)
            if reached_s == np.inf or reached_s + cost_s > least_s:
                continue
            if _wait_s(r, row, at, now_s) > 0:
                continue
            total_s = reached_s + (cost_s + _crowded_s(r, row, at, steps))
            if total_s < least_s:
                least_s, best = total_s, e
            elif total_s == least_s and total_s < np.inf and sooner(link, node, e, best):
                best = e
        if best >= 0:
            node[group[g, 0]]["least_s"], node[group[g, 0]]["by"] = least_s, best
    last, _ = arrived(r.net, leave_s)
    return last


@compiled
def _wait_s(r: Run, row: int, at: Any, now_s: float) -> float:
    """Seconds until a link has room for a request."""
    need = _held_bytes(r.costs.token_bytes, r.request[row]["reserved"], at["end"] - at["origin"])
    wait_s: float = _ready_s(r.seat[at["server"]], r.end[at["server"]], need, now_s)
    return wait_s


@compiled
def _crowded_s(r: Run, row: int, at: Any, steps: float) -> float:
    """What a request suffers and causes on a link."""
    which, j, blocks = r.request[row]["shape"], at["server"], at["end"] - at["origin"]
    shape, price = r.costs.shape[which], r.costs.price[which]
    tasks = _prompt_tasks(r.costs.work, shape["prompt"], j, blocks)
    cut = _pass_tasks(shape, r.costs.work, j, blocks)
    crowded_s: float = crowding_s(
        _pass_run_s(price, j, blocks) + cut * r.costs.work[j]["task_s"],
        _prompt_work_s(price, r.costs.work, j, blocks, tasks),
        tasks,
        cut,
        shape["step_s"],
        steps,
        r.line.seat[j],
        r.met[j],
        1.0,
        1.0,
    )
    return crowded_s


@compiled
def _open(r: Run, row: int, hops: int, now_s: float) -> bool:
    """Reserve the path of a request and send its prompt on its way, if there is room."""
    request, path, link = r.request[row], r.path[row], r.net.link
    for i in range(hops):
        at = link[path[i]]
        need = _held_bytes(r.costs.token_bytes, request["reserved"], at["end"] - at["origin"])
        if need > r.seat[at["server"]]["free"]:
            return False
    r.tally[_SPARE] -= 1
    r.tally[_RUNNING] += 1
    slot = r.slot[1, r.tally[_SPARE]]
    r.slot[0, slot] = row
    request["slot"], request["hops"] = slot, hops
    _write(r, row, slot, now_s)
    for i in range(hops):
        at = link[path[i]]
        j = at["server"]
        need = _held_bytes(r.costs.token_bytes, request["reserved"], at["end"] - at["origin"])
        _hold(r.seat[j], r.end[j], row, need, request["end_s"] + now_s, request["pass_s"])
    _enter(r.state, row, slot, hops, request["prompt"], _stop_at(request))
    _note_drafts(r.state, r.drafts, request, slot)
    _begin(r.state, slot, now_s + r.costs.opening_s)
    return True


@compiled
def _write(r: Run, row: int, slot: int, now_s: float) -> None:
    """Write down a request's hops and what is expected of it; it joins the crowds.

    As ``CostModel.tasks`` and ``Pricing.estimate``.
    """
    request, between_s, work = r.request[row], r.costs.between_s, r.costs.work
    shape = r.costs.shape[request["shape"]]
    price, way = r.costs.price[request["shape"]], r.costs.way[shape["client"]]
    before, back_s, met = -1, 0.0, 0
    lead_s, hops_s, reached_s, latest_s, wait_s = 0.0, 0.0, 0.0, 0.0, 0.0
    passes, waits_s = shape["passes"], 0.0
    for i in range(request["hops"]):
        at, hop = r.net.link[r.path[row, i]], r.state.hops[slot, i]
        j, start, end = at["server"], at["origin"], at["end"]
        half_s, blocks = way[j]["rtt_s"] / 2, end - start
        run_s, count = (
            _step_run_s(price, j, blocks),
            _prompt_tasks(work, shape["prompt"], j, blocks),
        )
        hop["server"], hop["start"], hop["end"], hop["lost"] = j, start, end, 0
        hop["first_gap_s"] = price[j]["prompt_delay_s"] - half_s + back_s
        hop["gap_s"] = _gap_s(way, between_s, before, j, back_s)
        if len(between_s) > 0:
            reached_s += _into_s(price, way, between_s, passes, before, j) + run_s
            latest_s = max(latest_s, reached_s + passes * half_s)
        back_s = half_s
        hop["back_s"], hop["turn_s"], hop["cut"] = back_s, work[j]["turn_s"], count > 1
        hop["prompt_s"] = _prompt_work_s(price, work, j, blocks, count)
        hop["base_s"], hop["slope_s"], hop["floor_s"] = _growing_work_s(work, j, blocks)
        if hop["cut"]:
            r.state.piece_s[slot, start:end] = _prompt_work_s(price, work, j, 1, 1)
        lead_s += price[j]["prompt_hop_s"] + _prompt_run_s(price, j, blocks)
        hops_s += price[j]["step_hop_s"] + run_s
        cut = _pass_tasks(shape, work, j, blocks)
        _note_pass(r.state, slot, i, work[j], way[j]["position_s"])
        wait_s += r.line.seat[j]["wait_s"]
        waits_s += cut * r.line.seat[j]["wait_s"]
        if r.line.seat[j]["serial"] == 1:
            visit = r.line.visit[slot, met]
            visit["server"], visit["tasks"] = j, cut
            visit["work_s"] = _pass_run_s(price, j, blocks) + cut * work[j]["task_s"]
            visit["task_s"] = visit["work_s"] / cut
            met += 1
        before = j
    way_s = latest_s if len(between_s) > 0 else hops_s
    early_s = shape["ahead"] * max(0.0, shape["ahead_s"] - way_s)
    alone_s = way_s + shape["draft_s"] + early_s
    waits_s = passes * waits_s
    request["planned"], request["step_s"] = shape["planned"], alone_s + waits_s
    request["pass_s"] = alone_s / passes + waits_s / passes
    lead_s = r.costs.opening_s + lead_s + wait_s
    steps = shape["planned"] - 1
    request["end_s"] = lead_s + steps * request["step_s"]
    r.line.session[slot]["hops"] = met
    r.line.session[slot]["weight"], r.line.session[slot]["limit_s"] = 1.0, 0.0
    _join(r.line, slot, alone_s / passes, waits_s / passes, steps * passes, now_s + lead_s)


@compiled
def _note_drafts(state: Any, rows: FloatArray, request: Any, slot: int) -> None:
    """How a request's session drafts, where some do."""
    if len(state) != _PLAIN:
        for i in range(rows.shape[1]):
            state.drafts[slot, i] = rows[request["way"], i]
        room = _room_of(request)
        state.drafts[slot, _ROOM], state.drafts[slot, _LUCK] = room, request["luck"]
        state.drafts[slot, _END] = min(request["output"], room)


@compiled
def _note_pass(state: Any, slot: int, at: int, work: Any, position_s: float) -> None:
    """What passes are at one of its hops, where some draft."""
    if len(state) != _PLAIN:
        more = state.passes[slot, at]
        more["task_tokens"], more["task_s"] = work["pass_tokens"], work["task_s"]
        more["position_s"] = position_s


@compiled
def _leave(r: Run, row: int) -> None:
    """The last token is there: give everything back."""
    for i in range(r.request[row]["hops"]):
        j = r.net.link[r.path[row, i]]["server"]
        _drop(r.seat[j], r.end[j], row)


@compiled
def _stop_at(request: Any) -> int:
    """Tokens at which to decide, as ``Session.stop_at``."""
    room = _room_of(request)
    stop: int = min(request["output"], room)
    early = request["expected"] > 0 and request["planned"] < room
    return min(stop, request["planned"]) if early else stop


@compiled
def _room_of(request: Any) -> int:
    """Output tokens that a reservation holds, as ``Session.room_tokens``."""
    room: int = max(1, request["reserved"] - request["prompt"])
    return room


@compiled
def _outlast(
    link: Any, request: Any, path: Any, seat: Any, end: Any, row: int, made: int, now_s: float
) -> None:
    """A request is not done by its expected end: expect half of its room, as ``Swarm``."""
    room = _room_of(request)
    request["planned"] = room if room - made < CLOSE_TOKENS else made + (room - made) // 2
    end_s = now_s + (request["planned"] - made) * request["step_s"]
    for i in range(request["hops"]):
        j = link[path[i]]["server"]
        _hold(seat[j], end[j], row, _drop(seat[j], end[j], row), end_s, request["pass_s"])
