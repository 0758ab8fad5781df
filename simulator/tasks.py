"""The task engine: what sessions, hops and servers do between two decisions, exactly.

A session's pass over its chain (the prompt first, then one step per token) travels to a server,
stands in its line, is worked on, and travels on; docs/model.md 3.2. A serial server works on one
task at a time, first come first served: then all that is needed of its line is when it will be
free, and a task is one event, its arrival. Everything is an array, so that numba compiles it; the
functions are plain Python too. Instants in seconds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.jit import compiled
from ..perfmodel.timing import extra_s
from .chunks import chunk_s, has_more, take_chunk
from .heap import down, pop, push
from .keys import ARRIVE, KIND_BITS, KINDS, NEXT, SENT, SLOT_BITS, SLOTS, STOP
from .passes import drafted_s, is_cut, made_by, more_way_s, pass_work_s, positions_of, set_out_s
from .transfers import carry, count, depart, done

#: How servers share their compute: one task at a time; waiting steps together; everybody at once.
SERIAL, BATCHED, INDEPENDENT = 0, 1, 2
#: Why ``advance`` comes up: nothing left until then; a session has made the tokens it was to make;
#: it has come to a hop whose cache is lost; many events went by.
QUIET, MADE, LOST, TIRED = 0, 1, 2, 3

#: A session in its slot.
#: key : of its row and slot, -1 = the slot is free. At one instant the lower row goes first.
#: hops, hop, block : hops of the chain, the present one, the next block of a prompt that is cut.
#: prompt, made, stop : tokens of its prompt; tokens made; tokens at which to come up.
#: due : tokens of a pass that is over: so many more are made at token_s.
#: after : next in the same line or batch, -1 = none.
#: answer_s : when the client has all answers of the present pass.
#: leave_s : when its latest task is done, inf while that is not known.
#: token_s, first_s : the latest and the first token at the client.
SESSION = np.dtype(
    [("key", np.int64)]
    + [(name, np.int32) for name in ("prompt", "made", "stop", "after")]
    + [(name, np.int16) for name in ("hops", "hop", "block", "due")]
    + [(name, np.float64) for name in ("answer_s", "leave_s", "token_s", "first_s")]
)

#: A hop of a session: blocks [start, end) of a server.
#: cut : whether the prompt runs block by block. lost : whether its cache is gone.
#: first_gap_s, gap_s : the way into the hop, of the prompt and of a step.
#: back_s : the way from it to the client. turn_s : from one block of a cut prompt to the next.
#: prompt_s, base_s, slope_s : work of the prompt in one piece, of a step, and per token of context.
#: floor_s : the least work of a step.
#: link, first_send_s, send_s : 1 + number of the link into the hop, 0 = none; how long a prompt and
#: a step keep it busy.
HOP = np.dtype(
    [(name, np.int32) for name in ("server", "link")]
    + [(name, np.int16) for name in ("start", "end", "cut", "lost")]
    + [
        (name, np.float64)
        for name in (
            "first_gap_s",
            "gap_s",
            "back_s",
            "turn_s",
            "prompt_s",
            "base_s",
            "slope_s",
            "floor_s",
            "first_send_s",
            "send_s",
        )
    ],
    align=True,
)
#: A server. free_s : when a serial one has done all it was given. knots : of its curve, what a step
#: of a batch costs on each block beyond one sequence's. row_s : what a sequence beyond the curve
#: does. busy_s : compute time handed out. head, tail, work : first and last in the line of one that
#: batches, and the first that it works on; -1 = none. prompts : that one which batches takes beside
#: the steps, 0 = a prompt is taken by itself. chunk, row : of prompts it takes so many tokens at
#: most, 0 = whole ones; its row of what they take.
SERVER = np.dtype(
    [(name, np.int64) for name in ("sharing", "head", "tail", "work", "knots", "prompts")]
    + [(name, np.int64) for name in ("chunk", "row")]
    + [(name, np.float64) for name in ("free_s", "row_s", "busy_s")]
)


class State(NamedTuple):
    """Everything that changes during a run.

    Attributes
    ----------
    sessions, hops, servers : (slots,) of SESSION, (slots, most hops) of HOP, (n,) of SERVER.
    curve : (2, n, most knots) rows and seconds of the curve of each server's steps.
    piece_s : (slots, L) work of one block's part of a prompt, where it is cut.
    parts : (slots, most hops, P, 4) more of the work of a step, see ``Tasks.parts``; P is 0 where
        blocks are alike.
    events : (most,) of EVENT: the calendar, a heap with four children of which the first
        ``size[0]`` count.
    links_s : (links,) when each link that carries one transfer at a time is free.
    chunks : (slots, most hops) of ``chunks.CHUNK``, (0, 0) where prompts are whole.
    chunk_s, square_s : see ``perfmodel.chunks.ChunkTables``.
    """

    sessions: NDArray[np.void]
    hops: NDArray[np.void]
    servers: NDArray[np.void]
    curve: NDArray[np.float64]
    piece_s: NDArray[np.float64]
    parts: NDArray[np.float64]
    events: NDArray[np.void]
    size: NDArray[np.int64]
    links_s: NDArray[np.float64]
    chunks: NDArray[np.void]
    chunk_s: NDArray[np.float64]
    square_s: NDArray[np.float64]


#: Fields of a state in which nobody drafts. Code for those who do asks how many there are: numba
#: leaves it out where it compiles for a plain state, which stays as fast as if nobody ever did.
_PLAIN = len(State._fields)


class DraftingState(NamedTuple):
    """The same where sessions draft.

    Attributes
    ----------
    drafts : (slots, RIGHT + K) how each session drafts, a row of ``drafts.row_of``.
    passes : (slots, most hops) of PASS.
    verify : (2, n, most positions + 1) of ``passes.verify_table``.
    """

    sessions: NDArray[np.void]
    hops: NDArray[np.void]
    servers: NDArray[np.void]
    curve: NDArray[np.float64]
    piece_s: NDArray[np.float64]
    parts: NDArray[np.float64]
    events: NDArray[np.void]
    size: NDArray[np.int64]
    links_s: NDArray[np.float64]
    chunks: NDArray[np.void]
    chunk_s: NDArray[np.float64]
    square_s: NDArray[np.float64]
    drafts: NDArray[np.float64]
    passes: NDArray[np.void]
    verify: NDArray[np.float64]


class SharedState(NamedTuple):
    """The same where transfers share uplinks, whether anybody drafts or not.

    Machines are servers, then clients.

    Attributes
    ----------
    legs : (slots, most hops + 1) of ``transfers.LEG``.
    lanes : (2 U,) of ``transfers.LANE``: out of each uplink, and into it.
    behind : (machines, most) uplinks of each machine, the smallest first, -1 = none.
    inside : (U, machines) whether each is.
    by : (2,) who relays prompts and steps.
    """

    sessions: NDArray[np.void]
    hops: NDArray[np.void]
    servers: NDArray[np.void]
    curve: NDArray[np.float64]
    piece_s: NDArray[np.float64]
    parts: NDArray[np.float64]
    events: NDArray[np.void]
    size: NDArray[np.int64]
    links_s: NDArray[np.float64]
    chunks: NDArray[np.void]
    chunk_s: NDArray[np.float64]
    square_s: NDArray[np.float64]
    drafts: NDArray[np.float64]
    passes: NDArray[np.void]
    verify: NDArray[np.float64]
    legs: NDArray[np.void]
    lanes: NDArray[np.void]
    behind: NDArray[np.int64]
    inside: NDArray[np.int64]
    by: NDArray[np.int64]


#: Fields of a state in which transfers share uplinks.
_SHARED = len(SharedState._fields)

AnyState = State | DraftingState | SharedState


@compiled
def advance(s: AnyState, until_s: float, most: int) -> tuple[int, float, int]:
    """Run until an instant, a decision, or so many events; why it ended, when, which slot."""
    while s.size[0] > 0 and s.events[0]["time_s"] <= until_s:
        now_s, key = s.events[0]["time_s"], s.events[0]["key"]
        if most == 0:
            return TIRED, now_s, -1
        most -= 1
        if key < 0:
            pop(s)
            _end(s, -1 - key, now_s)
            continue
        slot, kind = key & SLOTS, key >> SLOT_BITS & KINDS
        session = s.sessions[slot]
        if len(s) == _SHARED and kind >= SENT:
            pop(s)
            carry(s, slot, kind - SENT, now_s)
            continue
        if kind != ARRIVE:
            count(session)
        hop = s.hops[slot, session["hop"]]
        if kind == STOP or hop["lost"]:
            pop(s)
            return (MADE if kind == STOP else LOST), now_s, slot
        server = s.servers[hop["server"]]
        if server["sharing"] == BATCHED:
            pop(s)
            _stand(s, slot, now_s)
            continue
        work_s = _work_s(s, slot)
        server["busy_s"] += work_s
        if server["sharing"] == SERIAL:
            leave_s = max(now_s, server["free_s"]) + work_s
            server["free_s"] = leave_s
        else:
            leave_s = now_s + work_s
        when_s, key = _leave(s, slot, leave_s)
        down(s.events, s.size[0], when_s, key)
    return QUIET, until_s, -1


@compiled
def key_of(row: int, slot: int) -> int:
    """The key of a session in its slot."""
    return (row + 1) << (SLOT_BITS + KIND_BITS) | slot


@compiled
def enter(s: AnyState, row: int, slot: int, hops: int, prompt: int, stop: int) -> None:
    """Write down a session whose hops are in its slot: nothing is made yet."""
    session = s.sessions[slot]
    session["key"], session["hops"], session["hop"] = key_of(row, slot), hops, 0
    session["block"], session["prompt"], session["made"] = s.hops[slot, 0]["start"], prompt, 0
    session["stop"], session["due"], session["after"] = stop, 0, -1
    session["first_s"] = np.nan


@compiled
def start(
    s: AnyState, hops: Any, row: int, slot: int, prompt: int, stop: int, begin_s: float
) -> None:
    """Write down a session with its hops, and send its first pass on its way."""
    for i in range(len(hops)):
        s.hops[slot, i] = hops[i]
    enter(s, row, slot, len(hops), prompt, stop)
    begin(s, slot, begin_s)


@compiled
def begin(s: AnyState, slot: int, now_s: float) -> None:
    """Send a session's first pass on its way."""
    s.sessions[slot]["answer_s"] = s.sessions[slot]["leave_s"] = -np.inf
    if len(s) == _SHARED:
        depart(s, slot, now_s)
        return
    push(s, now_s + s.hops[slot, 0]["first_gap_s"], s.sessions[slot]["key"])


@compiled
def go_on(s: AnyState, slot: int) -> None:
    """Send a session that came up with its tokens on to the next one."""
    session = s.sessions[slot]
    if len(s) == _SHARED:
        depart(s, slot, session["token_s"] + drafted_s(s, slot, session["made"]))
        return
    when_s = session["token_s"] + s.hops[slot, 0]["gap_s"]
    if len(s) != _PLAIN:
        when_s = set_out_s(s, slot, session["made"])
    push(s, when_s, session["key"])


def hop_of_task(session: Any, hops: Any) -> int:
    """The hop of a session's latest task."""
    at = int(session["hop"])
    cut = session["block"] > hops[at]["start"]
    return at if cut or session["leave_s"] == np.inf else (at - 1) % int(session["hops"])


def forget(s: AnyState, slot: int) -> None:
    """Nothing of a session is under way any more."""
    session, size = s.sessions[slot], int(s.size[0])
    session["due"] = 0
    session["leave_s"] = -np.inf
    keys = s.events["key"]
    keep = [i for i in range(size) if keys[i] < 0 or keys[i] & SLOTS != slot]
    _refill(s, keep)


def take_out(s: AnyState, slot: int, now_s: float) -> None:
    """A session is at work no more: it leaves all lines, and a batch of its own is not finished."""
    session = s.sessions[slot]
    if session["due"] and session["token_s"] <= now_s:  # its client has them already
        if session["made"] == 0:
            session["first_s"] = session["token_s"]
        session["made"] += session["due"]
        session["due"] = 0
    for j in np.unique(s.hops["server"][slot, : int(s.sessions[slot]["hops"])]).tolist():
        server = s.servers[j]
        if server["sharing"] != BATCHED:
            continue
        _unlink(s, j, "head", slot)
        worked = int(server["work"])
        _unlink(s, j, "work", slot)
        if worked >= 0 > server["work"]:
            _refill(s, [i for i in range(int(s.size[0])) if s.events[i]["key"] != -1 - j])
            server["busy_s"] -= server["free_s"] - now_s
            server["free_s"] = now_s
            if server["head"] >= 0:
                _take(s, j, now_s)
    forget(s, slot)


def _unlink(s: AnyState, j: int, first: str, slot: int) -> None:
    """Take a session out of the line of a server, or of what it works on."""
    server, before = s.servers[j], -1
    at = int(server[first])
    while at >= 0 and at != slot:
        before, at = at, int(s.sessions[at]["after"])
    if at < 0:
        return
    following = s.sessions[slot]["after"]
    if before < 0:
        server[first] = following
    else:
        s.sessions[before]["after"] = following
    if first == "head" and server["tail"] == slot:
        server["tail"] = before


def stop_server(s: AnyState, j: int, now_s: float) -> None:
    """A server is gone: its line is dropped, and what it was to do after this instant."""
    server = s.servers[j]
    if server["sharing"] == BATCHED:
        _refill(s, [i for i in range(int(s.size[0])) if s.events[i]["key"] != -1 - j])
        server["head"] = server["tail"] = server["work"] = -1
    if server["free_s"] > now_s:
        server["busy_s"] -= server["free_s"] - now_s
        server["free_s"] = now_s


def _refill(s: AnyState, keep: list[int]) -> None:
    """The calendar with some of its events alone: in order, so that it is a heap."""
    order = np.array(sorted(keep, key=lambda i: tuple(s.events[i])), dtype=np.int64)
    s.events[: len(order)] = s.events[order]
    s.size[0] = len(order)


_extra_s = compiled(extra_s)


@compiled
def _work_s(s: AnyState, slot: int) -> float:
    """Compute time of a session's present task."""
    session = s.sessions[slot]
    hop = s.hops[slot, session["hop"]]
    if session["made"] > 0:
        context = session["prompt"] + session["made"]
        work_s: float = max(hop["floor_s"], hop["base_s"] + hop["slope_s"] * context)
        for i in range(s.parts.shape[2]):
            part = s.parts[slot, session["hop"], i]
            work_s += max(part[0], part[1] + part[2] * min(part[3], context))
        if len(s) != _PLAIN:
            work_s = pass_work_s(s, slot, work_s)
    elif hop["cut"]:
        work_s = s.piece_s[slot, session["block"]]
    else:
        work_s = hop["prompt_s"]
    return work_s


@compiled
def _leave(s: AnyState, slot: int, now_s: float) -> tuple[float, int]:
    """A task is done at an instant, maybe one to come; the event that follows.

    On to the next block, the next hop or the next token.
    """
    session = s.sessions[slot]
    hop = s.hops[slot, session["hop"]]
    session["leave_s"] = now_s
    first = session["made"] == 0
    cut = first and hop["cut"] > 0
    if len(s) != _PLAIN and not first:
        cut = is_cut(s, slot)
    if cut and session["block"] + 1 < hop["end"]:
        session["block"] += 1
        return now_s + hop["turn_s"], session["key"]
    if len(s) == _SHARED:
        return now_s, done(s, slot)
    session["answer_s"] = max(session["answer_s"], now_s + hop["back_s"])
    session["hop"] += 1
    if session["hop"] < session["hops"]:
        hop = s.hops[slot, session["hop"]]
        session["block"] = hop["start"]
        gap_s = hop["first_gap_s"] if first else hop["gap_s"]
        if len(s) != _PLAIN and not first:
            gap_s += more_way_s(s, slot)
        if hop["link"] > 0:
            now_s = _sent(s, slot, now_s, first)
        return now_s + gap_s, session["key"]
    hop = s.hops[slot, 0]
    session["hop"], session["block"], session["due"] = 0, hop["start"], 1
    if len(s) != _PLAIN and not first:
        session["due"] = made_by(s, slot)
    session["token_s"] = session["answer_s"]
    session["answer_s"] = -np.inf
    made = session["made"] + session["due"]
    if made >= session["stop"]:
        return session["token_s"], session["key"] | STOP << SLOT_BITS
    when_s = session["token_s"] + hop["gap_s"]
    if len(s) != _PLAIN:
        when_s = set_out_s(s, slot, made)
    return when_s, session["key"] | NEXT << SLOT_BITS


@compiled
def _sent(s: AnyState, slot: int, now_s: float, first: bool) -> float:
    """When a link has carried what a session sends to its present hop: one transfer at a time."""
    hop = s.hops[slot, s.sessions[slot]["hop"]]
    send_s = hop["first_send_s"] if first else hop["send_s"]
    if len(s) != _PLAIN and not first:
        send_s *= positions_of(s, slot)
    link = hop["link"] - 1
    s.links_s[link] = max(s.links_s[link], now_s) + send_s
    done_s: float = s.links_s[link]
    return done_s


@compiled
def _stand(s: AnyState, slot: int, now_s: float) -> None:
    """A session's task joins the line of a server that batches."""
    session = s.sessions[slot]
    j = s.hops[slot, session["hop"]]["server"]
    server = s.servers[j]
    session["after"], session["leave_s"] = -1, np.inf
    if server["tail"] < 0:
        server["head"] = slot
    else:
        s.sessions[server["tail"]]["after"] = slot
    server["tail"] = slot
    if server["work"] < 0:
        _take(s, j, now_s)


@compiled
def _take(s: AnyState, j: int, now_s: float) -> None:
    """An idle server takes a task out of its line; who is left keeps its place.

    A prompt that is first is a task by itself. With a step go all that wait, also those behind
    prompts: a row more costs a prompt little, a pass of their own would cost them much. A server
    that takes prompts beside the steps takes up to so many, or so many tokens of them, and all
    steps: the work of the prompts adds up to that of the steps, and all go on together.
    """
    server = s.servers[j]
    slot, first, last, left = server["head"], -1, -1, -1
    step_s, prompt_s, widest, rows, prompts = 0.0, 0.0, 0, 0, 0
    most, alone, tokens = server["prompts"], False, server["chunk"]
    if tokens > 0:
        most = most if most > 0 else len(s.sessions)
    elif most == 0 and s.sessions[slot]["made"] == 0:
        most, alone = 1, True
    server["head"] = -1
    while slot >= 0:
        following = s.sessions[slot]["after"]
        s.sessions[slot]["after"] = -1
        is_prompt = s.sessions[slot]["made"] == 0
        if prompts == most if is_prompt else alone:
            if left < 0:
                server["head"] = slot
            else:
                s.sessions[left]["after"] = slot
            left = slot
        else:
            if is_prompt:
                prompts += 1
                if server["chunk"] == 0:
                    prompt_s += _work_s(s, slot)
                else:
                    tokens -= take_chunk(s, slot, tokens)
                    prompt_s += chunk_s(s, slot, server["row"])
                    if tokens == 0:
                        most = prompts
            else:
                hop = s.hops[slot, s.sessions[slot]["hop"]]
                step_s = max(step_s, _work_s(s, slot))
                blocks = hop["end"] - hop["start"]
                if len(s) != _PLAIN and is_cut(s, slot):
                    blocks = 1
                widest = max(widest, blocks)
                rows += 1 if len(s) == _PLAIN else positions_of(s, slot)
            if first < 0:
                first = slot
            else:
                s.sessions[last]["after"] = slot
            last = slot
        slot = following
    server["tail"] = left
    if rows > 0:
        step_s += widest * _extra_s(
            s.curve[0, j], s.curve[1, j], server["knots"], server["row_s"], rows
        )
    _set_to_work(s, j, first, prompt_s + step_s, now_s)


@compiled
def _set_to_work(s: AnyState, j: int, first: int, work_s: float, now_s: float) -> None:
    """A server that batches works on a list of sessions."""
    server = s.servers[j]
    server["work"] = first
    server["busy_s"] += work_s
    server["free_s"] = now_s + work_s
    push(s, now_s + work_s, -1 - j)


@compiled
def _end(s: AnyState, j: int, now_s: float) -> None:
    """A server that batches is done: those it worked on go on, the next in line are taken."""
    server = s.servers[j]
    slot = server["work"]
    server["work"] = -1
    while slot >= 0:
        following = s.sessions[slot]["after"]
        if server["chunk"] > 0 and s.sessions[slot]["made"] == 0 and has_more(s, slot):
            s.sessions[slot]["after"] = server["head"]  # there is one of them at most: it goes on
            server["head"] = slot
            if server["tail"] < 0:
                server["tail"] = slot
        else:
            when_s, key = _leave(s, slot, now_s)
            push(s, when_s, key)
        slot = following
    if server["head"] >= 0:
        _take(s, j, now_s)
