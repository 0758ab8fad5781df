"""The compiled part of the queueing value: sessions share their servers until each has ended.

Imported only where requests are routed: numba takes a while to load.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.content import FloatArray, IntArray
from ..core.jit import compiled

#: Rounds of the fixed point between two events at most, and the relative change that ends them.
ROUNDS, STEADY = 6, 5e-3
#: What is left of a task that is at work when another one comes. Half of it if they came at random;
#: but steps always take the same and fall into step with each other (benchmarks/slots.py).
LEFT = 0.4
#: What ends within this share of the time to the next event ends with it.
TOGETHER = 0.02
#: What a session does: it goes to so many ``hops`` in turn, its prompt first, one hop after the
#: other; then ``steps``, each over all of them. idle_s : of a step what is no work.
SESSION = np.dtype([("hops", np.int64), ("steps", np.float64), ("idle_s", np.float64)])
#: A hop. server : -1 where nobody stands in line. work_s : of a step. tasks, piece_s : of the
#: prompt, and the work of each. lead_s : of the prompt's hop what is no work. No tasks : no prompt.
HOP = np.dtype(
    [("server", np.int64), ("tasks", np.float64)]
    + [(name, np.float64) for name in ("work_s", "piece_s", "lead_s")]
)
#: What a session does at present. at : the hop of its prompt, ``hops`` = it makes steps, -1 = it
#: has ended. left : rounds to go of cycle_s each. idle_s : of a cycle what is no work.
PRESENT = np.dtype(
    [("at", np.int64), ("left", np.float64), ("cycle_s", np.float64), ("idle_s", np.float64)]
)
#: A stop of a cycle. each : tasks there in a cycle, 0 = none. met_s : work of it that others find.
STOP = np.dtype(
    [("server", np.int64)] + [(name, np.float64) for name in ("each", "work_s", "met_s")]
)


class Sessions(NamedTuple):
    """K sessions, (K,) of SESSION, and their hops one after the other, of HOP."""

    session: NDArray[np.void]
    hop: NDArray[np.void]


@compiled
def value_s(
    s: Sessions, first: IntArray, choice: IntArray, wait_s: FloatArray, servers: int, left: float
) -> float:
    """The sum of ``ends_s``, and what those cost who do not start."""
    total_s = 0.0
    for end_s in ends_s(s, first, choice, servers, left):
        total_s += end_s
    for i in range(len(choice)):
        if choice[i] < 0:
            total_s += wait_s[i]
    return total_s


@compiled
def ends_s(s: Sessions, first: IntArray, choice: IntArray, servers: int, left: float) -> FloatArray:
    """(A,) when each of some sessions ends that all begin now.

    Between two events, the ends of a prompt's hop or of a session, everybody's cycle is the fixed
    point of the waits (``_settle``), and goes on at that pace.

    Parameters
    ----------
    first : (R + 1,) row of the first chain of each request; last of those who run in any case.
    choice : (R,) the chain that each request starts on, below 0 where it does not start.
    left : ``LEFT``; 1 is Schweitzer's approximation.
    """
    session, hop = _beginning(s, first, choice)
    count = len(session)
    present, stop = np.zeros(count, PRESENT), np.zeros(hop.shape, STOP)
    line_s = np.zeros(servers)
    ends = np.zeros(count)
    running, now_s = 0, 0.0
    for i in range(count):
        present[i]["at"] = -1
        running += 1 if _next(session[i], hop[i], present[i], stop[i], line_s, -1) else 0
    while running > 0:
        _settle(present, stop, line_s, left)
        next_s = np.inf
        for p in present:
            if p["at"] >= 0:
                next_s = min(next_s, p["left"] * p["cycle_s"])
        now_s += next_s
        for i in range(count):
            p = present[i]
            if p["at"] < 0:
                continue
            if p["left"] * p["cycle_s"] > next_s * (1.0 + TOGETHER):
                p["left"] -= next_s / p["cycle_s"]
                continue
            at = p["at"]
            _depart(stop[i], line_s)
            if not _next(session[i], hop[i], p, stop[i], line_s, at):
                ends[i] = now_s
                running -= 1
    return ends


@compiled
def lines_s(
    s: Sessions, first: IntArray, choice: IntArray, servers: int, left: float
) -> FloatArray:
    """(J,) how long a task waits at each server while these sessions are at their beginning."""
    session, hop = _beginning(s, first, choice)
    present, stop = np.zeros(len(session), PRESENT), np.zeros(hop.shape, STOP)
    line_s = np.zeros(servers)
    for i in range(len(session)):
        present[i]["at"] = -1
        _next(session[i], hop[i], present[i], stop[i], line_s, -1)
    _settle(present, stop, line_s, left)
    return line_s


@compiled
def _beginning(
    s: Sessions, first: IntArray, choice: IntArray
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """(A,) who starts and who runs, and (A, H) their hops, H at most."""
    count, own, most = len(s.session), first[-1], 0
    row, at = np.empty(count, np.int64), np.zeros(count + 1, np.int64)
    for k in range(count):
        hops = s.session[k]["hops"]
        at[k + 1], most = at[k] + hops, max(most, hops)
    starting = 0
    for i in range(len(choice)):
        if choice[i] >= 0:
            row[starting] = first[i] + choice[i]
            starting += 1
    for k in range(own, count):
        row[starting] = k
        starting += 1
    session, hop = np.empty(starting, SESSION), np.empty((starting, most), HOP)
    for i in range(starting):
        k = row[i]
        session[i] = s.session[k]
        for h in range(at[k], at[k + 1]):
            hop[i, h - at[k]] = s.hop[h]
    return session, hop


@compiled
def _next(session: Any, hop: Any, present: Any, stop: Any, line_s: FloatArray, at: int) -> bool:
    """What a session does after the hop ``at``; whether it does anything.

    In line it counts from the start as if it waited for all who are there.
    """
    hops = session["hops"]
    at += 1
    while at < hops and hop[at]["tasks"] == 0.0:
        at += 1
    if at > hops or (at == hops and session["steps"] <= 0.0):
        present["at"] = -1
        return False
    present["at"] = at
    if at < hops:
        present["left"], present["idle_s"] = 1.0, hop[at]["lead_s"]
    else:
        present["left"], present["idle_s"] = session["steps"], session["idle_s"]
    cycle_s = present["idle_s"]
    for h in range(hops):
        t = stop[h]
        t["server"], t["each"], t["met_s"] = hop[h]["server"], 0.0, 0.0
        if at == hops:
            t["each"], t["work_s"] = 1.0, hop[h]["work_s"]
        elif at == h:
            t["each"], t["work_s"] = hop[h]["tasks"], hop[h]["piece_s"]
        if t["each"] > 0.0:
            wait_s = line_s[t["server"]] if t["server"] >= 0 else 0.0
            cycle_s += t["each"] * (t["work_s"] + wait_s)
    present["cycle_s"] = max(cycle_s, 1e-9)
    return True


@compiled
def _depart(stop: Any, line_s: FloatArray) -> None:
    """Nobody meets a session any more where it was."""
    for t in stop:
        if t["each"] > 0.0 and t["server"] >= 0:
            line_s[t["server"]] -= t["met_s"]
        t["each"], t["met_s"] = 0.0, 0.0


@compiled
def _settle(present: Any, stop: Any, line_s: FloatArray, left: float) -> None:
    """Everybody's cycle beside the others: a task waits for what it finds of each.

    Of a session that is in line for the share Q of the time and at work for the share U it finds
    Q - U of a task, and what is left of one for the rest. docs/model.md 13.
    """
    for _ in range(ROUNDS):
        change = 0.0
        for i in range(len(present)):
            p = present[i]
            if p["at"] < 0:
                continue
            cycle_s = p["idle_s"]
            for t in stop[i]:
                if t["each"] > 0.0:
                    wait_s = 0.0
                    if t["server"] >= 0:
                        wait_s = max(line_s[t["server"]] - t["met_s"], 0.0)
                    cycle_s += t["each"] * (t["work_s"] + wait_s)
            cycle_s = max(cycle_s, 1e-9)
            change = max(change, abs(cycle_s - p["cycle_s"]) / cycle_s)
            p["cycle_s"] = cycle_s
            for t in stop[i]:
                if t["each"] > 0.0 and t["server"] >= 0:
                    others_s = max(line_s[t["server"]] - t["met_s"], 0.0)
                    here = t["each"] / cycle_s * (t["work_s"] * left + others_s)
                    t["met_s"] = here * t["work_s"]
                    line_s[t["server"]] = others_s + t["met_s"]
        if change < STEADY:
            return
