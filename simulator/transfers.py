"""The compiled part of transfers over uplinks that several links share, in the task engine.

A transfer takes its turn on every uplink that it crosses, out of those of its sender, into those of
its receiver, the smallest ones at its ends. What an uplink has begun to send goes on at once, so
that nothing takes longer alone than on the slowest of them. docs/model.md 3.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.jit import compiled
from .heap import push
from .keys import SENT, SLOT_BITS, STOP
from .passes import drafted_s, made_by, more_way_s, positions_of

#: Who relays a pass: the client, servers while each answers it, servers of which the last answers.
BY_CLIENT, BY_SERVERS, PIPELINE = 0, 1, 2
#: What a session sends: into its present hop (the first leg), and the answers of its hops.
#: sender, receiver : servers, then clients. size : bytes. tokens : of a prompt, into the hop of
#: this number. message, token : bytes to and from its server, of a message and of a token in it.
#: next : on the way past so many links and uplinks; or one of the two below.
#: done_s : when all that is on its way will be there. open, home : of the first leg, answers to
#: come and where its client is.
LEG = np.dtype(
    [(name, np.int32) for name in ("sender", "receiver", "next", "open", "home")]
    + [("tokens", np.int32)]
    + [(name, np.float64) for name in ("size", "message", "token", "done_s")],
    align=True,
)
#: The session is about to send: from its client, or from the server that has worked on it.
_AT_CLIENT, _AT_SERVER = -1, -2
#: One direction of an uplink. free_s : when it has sent all that it was given. byte_s : seconds of
#: a byte. sent, busy_s : bytes and seconds so far.
LANE = np.dtype([(name, np.float64) for name in ("free_s", "byte_s", "sent", "busy_s")])


@compiled
def count(session: Any) -> None:
    """What the pass that is over made is there; the prompt's makes one token."""
    if session["made"] == 0:
        session["first_s"] = session["token_s"]
    session["made"] += session["due"]
    session["due"] = 0


@compiled
def depart(s: Any, slot: int, when_s: float) -> None:
    """A session sends from its client at an instant."""
    s.legs[slot, 0]["next"] = _AT_CLIENT
    push(s, when_s, s.sessions[slot]["key"] | SENT << SLOT_BITS)


@compiled
def done(s: Any, slot: int) -> int:
    """A session's work at its present hop is done, maybe at an instant to come: the event then."""
    session = s.sessions[slot]
    session["hop"] += 1
    if session["hop"] == session["hops"]:
        session["hop"] = 0
    session["block"] = s.hops[slot, session["hop"]]["start"]
    s.legs[slot, 0]["next"] = _AT_SERVER
    key: int = session["key"] | SENT << SLOT_BITS
    return key


@compiled
def carry(s: Any, slot: int, leg: int, now_s: float) -> None:
    """The instant of something that a session sends has come."""
    at = s.legs[slot, leg]["next"]
    if at == _AT_CLIENT:
        _from_client(s, slot, now_s)
    elif at == _AT_SERVER:
        _from_server(s, slot, now_s)
    else:
        _go_on(s, slot, leg, now_s)


@compiled
def _relay(s: Any, slot: int) -> int:
    """Who relays the present pass."""
    mode: int = s.by[0] if s.sessions[slot]["made"] == 0 else s.by[1]
    return mode


@compiled
def _size(s: Any, slot: int, server: int, at: int) -> float:
    """Bytes of the present pass into a hop or out of it, to or from the server of a hop."""
    wire, tokens = s.legs[slot, server], s.legs[slot, at]["tokens"]
    if s.sessions[slot]["made"] > 0:
        tokens = positions_of(s, slot)
    size: float = wire["message"] + tokens * wire["token"]
    return size


@compiled
def _from_client(s: Any, slot: int, now_s: float) -> None:
    """The client sends into the present hop; a new pass where that is the first one."""
    session = s.sessions[slot]
    at = session["hop"]
    if at == 0:
        if session["due"] > 0:
            count(session)
        s.legs[slot, 0]["open"] = session["hops"] if _relay(s, slot) == BY_SERVERS else 1
    # Into a pipeline go token ids alone.
    size = 0.0 if _relay(s, slot) == PIPELINE else _size(s, slot, at, at)
    _send(s, slot, 0, s.legs[slot, 0]["home"], s.hops[slot, at]["server"], size, now_s)


@compiled
def _from_server(s: Any, slot: int, now_s: float) -> None:
    """A server has worked on the present pass: it sends on, and answers."""
    session, relay = s.sessions[slot], _relay(s, slot)
    last = session["hop"] == 0
    at = session["hops"] - 1 if last else session["hop"] - 1
    server = s.hops[slot, at]["server"]
    if relay != BY_CLIENT and not last:
        onward = s.hops[slot, at + 1]["server"]
        _send(s, slot, 0, server, onward, _size(s, slot, at, at + 1), now_s)
    if relay != PIPELINE:
        _send(s, slot, 1 + int(at), server, s.legs[slot, 0]["home"], _size(s, slot, at, at), now_s)
    elif last:
        _answered(s, slot, now_s + s.hops[slot, at]["back_s"])


@compiled
def _send(
    s: Any, slot: int, leg: int, sender: int, receiver: int, size: float, now_s: float
) -> None:
    """A transfer begins."""
    way = s.legs[slot, leg]
    way["sender"], way["receiver"], way["size"] = sender, receiver, size
    way["next"], way["done_s"] = 0, now_s
    _go_on(s, slot, leg, now_s)


@compiled
def _go_on(s: Any, slot: int, leg: int, now_s: float) -> None:
    """A transfer takes its turns until it has to wait for one: then it is heard of again."""
    way, most = s.legs[slot, leg], s.behind.shape[1]
    while way["next"] <= 2 * most and way["size"] > 0.0:
        at = way["next"]
        way["next"] += 1
        start_s = now_s
        if at == 0:
            link = s.hops[slot, s.sessions[slot]["hop"]]["link"] if leg == 0 else 0
            if link == 0:
                continue
            hop = s.hops[slot, s.sessions[slot]["hop"]]
            send_s = hop["first_send_s"]
            if s.sessions[slot]["made"] > 0:
                send_s = hop["send_s"] * positions_of(s, slot)
            start_s = max(now_s, s.links_s[link - 1])
            s.links_s[link - 1] = start_s + send_s
        else:
            out = at <= most
            if out:
                uplink, other = s.behind[way["sender"], at - 1], way["receiver"]
            else:
                uplink, other = s.behind[way["receiver"], 2 * most - at], way["sender"]
            if uplink < 0 or s.inside[uplink, other] > 0:
                continue
            lane = s.lanes[2 * uplink if out else 2 * uplink + 1]
            send_s = way["size"] * lane["byte_s"]
            start_s = max(now_s, lane["free_s"])
            lane["free_s"] = start_s + send_s
            lane["sent"] += way["size"]
            lane["busy_s"] += send_s
        way["done_s"] = max(way["done_s"], start_s + send_s)
        if start_s > now_s:
            push(s, start_s, s.sessions[slot]["key"] | (SENT + leg) << SLOT_BITS)
            return
    _come(s, slot, leg)


@compiled
def _come(s: Any, slot: int, leg: int) -> None:
    """All of a transfer is sent: it comes to the server after its way, or to the client."""
    session, relay, sent_s = s.sessions[slot], _relay(s, slot), s.legs[slot, leg]["done_s"]
    first = session["made"] == 0
    if leg > 0:
        back_s = sent_s + s.hops[slot, leg - 1]["back_s"]
        if relay == BY_CLIENT and leg < session["hops"]:
            depart(s, slot, back_s)
        else:
            _answered(s, slot, back_s)
        return
    at = session["hop"]
    hop = s.hops[slot, at]
    gap_s = hop["first_gap_s"] if first else hop["gap_s"]
    if relay == BY_CLIENT and at > 0:  # of its way the part until the client is behind it
        gap_s -= s.hops[slot, at - 1]["back_s"]
    if not first:
        gap_s += more_way_s(s, slot)
    push(s, sent_s + gap_s, session["key"])


@compiled
def _answered(s: Any, slot: int, when_s: float) -> None:
    """The client has an answer, at an instant; with the last one of a pass its tokens are there."""
    session, first = s.sessions[slot], s.legs[slot, 0]
    session["answer_s"] = max(session["answer_s"], when_s)
    first["open"] -= 1
    if first["open"] > 0:
        return
    session["due"] = 1 if session["made"] == 0 else made_by(s, slot)
    session["token_s"] = session["answer_s"]
    session["answer_s"] = -np.inf
    made = session["made"] + session["due"]
    if made >= session["stop"]:
        push(s, session["token_s"], session["key"] | STOP << SLOT_BITS)
    else:
        depart(s, slot, session["token_s"] + drafted_s(s, slot, made))
