"""Sessions that share servers which work on one task at a time: the compiled part of ``Crowd``.

Imported only where requests are routed: numba takes a while to load.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.content import FloatArray, IntArray
from ..core.jit import compiled
from .stake import LITTLE, NEAR

#: Rounds of the fixed point after each change; it starts from where it was.
ROUNDS = 2
#: A server. serial : whether there is a line. weight : what a second counts of its sessions
#: together (``Stake``), weight_per_s : of the tasks that come per second. work_s : of one task of
#: everybody.
#: use : share of the time that it works. half_s : sum of use * work / 2. wait_s : how long a task
#: of somebody else waits. tasks : of one step of everybody.
SEAT = np.dtype(
    [("serial", np.int64)]
    + [(name, np.float64) for name in ("weight", "weight_per_s", "work_s")]
    + [(name, np.float64) for name in ("use", "half_s", "wait_s", "tasks")]
)
#: A session. left : steps to come at the instant since_s. alone_s, step_s : between two tokens
#: without anybody else, and among those who are there. weight, limit_s : its ``Stake``.
SESSION = np.dtype(
    [("hops", np.int64)]
    + [(name, np.float64) for name in ("left", "since_s", "alone_s", "step_s")]
    + [(name, np.float64) for name in ("weight", "limit_s")]
)
#: Work of one step of a session at a server, in so many tasks of task_s.
VISIT = np.dtype(
    [("server", np.int64)] + [(name, np.float64) for name in ("work_s", "tasks", "task_s")]
)


class Line(NamedTuple):
    """Everybody who is there.

    Attributes
    ----------
    seat : (n,) of SEAT. session : (S,) of SESSION. visit : (S, most hops) of VISIT.
    order : (2, S) slots of those who are there, in no order that means anything; where each stands.
    state : (2,) how many are there; whether somebody came or left since it was settled.
    room : (n,) for ``beside``.
    """

    seat: NDArray[np.void]
    session: NDArray[np.void]
    visit: NDArray[np.void]
    order: IntArray
    state: IntArray
    room: FloatArray


def empty_line(serial: NDArray[np.bool_], slots: int, hops: int) -> Line:
    """Nobody is there yet; room for so many sessions of so many hops."""
    seat = np.zeros(len(serial), SEAT)
    seat["serial"] = serial
    return Line(
        seat=seat,
        session=np.zeros(slots, SESSION),
        visit=np.zeros((slots, hops), VISIT),
        order=np.zeros((2, slots), np.int64),
        state=np.zeros(2, np.int64),
        room=np.zeros(len(serial)),
    )


@compiled
def join(line: Line, slot: int, alone_s: float, waits_s: float, left: float, from_s: float) -> None:
    """The session of a slot comes, its visits written down: so many steps from an instant on."""
    session = line.session[slot]
    session["alone_s"], session["step_s"] = alone_s, alone_s + waits_s
    session["left"], session["since_s"] = left, from_s
    line.order[0, line.state[0]], line.order[1, slot] = slot, line.state[0]
    line.state[0] += 1
    line.state[1] = 1


@compiled
def come(
    line: Line,
    slot: int,
    visits: NDArray[np.void],
    weight: float,
    limit_s: float,
    alone_s: float,
    waits_s: float,
    left: float,
    from_s: float,
) -> None:
    """The same with its visits, (hops,) of VISIT, and its stake."""
    session = line.session[slot]
    for i in range(len(visits)):
        line.visit[slot, i] = visits[i]
    session["hops"], session["weight"], session["limit_s"] = len(visits), weight, limit_s
    join(line, slot, alone_s, waits_s, left, from_s)


@compiled
def leave(line: Line, slot: int) -> None:
    """The session of a slot is gone."""
    line.state[0] -= 1
    last, at = line.order[0, line.state[0]], line.order[1, slot]
    line.order[0, at], line.order[1, last] = last, at
    line.state[1] = 1


@compiled
def tell(line: Line, slot: int, left: float, now_s: float) -> None:
    """So many steps are expected of a session from now on."""
    line.session[slot]["left"], line.session[slot]["since_s"] = left, now_s


@compiled
def left_at(session: Any, now_s: float) -> float:
    """Steps that a session has yet to make: one at least."""
    made = max(now_s - session["since_s"], 0.0) / session["step_s"]
    left: float = max(session["left"] - made, 1.0)
    return left


@compiled
def lefts_at(line: Line, slots: IntArray, now_s: float) -> FloatArray:
    """(S,) steps that some sessions have yet to make."""
    lefts = np.empty(len(slots))
    for i in range(len(slots)):
        lefts[i] = left_at(line.session[slots[i]], now_s)
    return lefts


@compiled
def weight_of(session: Any) -> float:
    """What a second of a session counts: little as long as its limit is far."""
    weight: float = session["weight"]
    if session["limit_s"] <= 0.0:
        return weight
    near = (session["step_s"] / session["limit_s"] - NEAR) / (1.0 - NEAR)
    counted: float = weight * min(max(near, LITTLE), 1.0)
    return counted


@compiled
def settle(line: Line, now_s: float) -> None:
    """Bring times between tokens and waits up to date, if somebody came or left."""
    if line.state[1] == 0:
        return
    line.state[1] = 0
    for i in range(line.state[0]):
        session = line.session[line.order[0, i]]
        if session["since_s"] < now_s:
            session["left"], session["since_s"] = left_at(session, now_s), now_s
    _gather(line)
    for _ in range(ROUNDS):
        for i in range(line.state[0]):
            slot = line.order[0, i]
            session, wait_s = line.session[slot], 0.0
            for h in range(session["hops"]):
                visit = line.visit[slot, h]
                wait_s += _others_s(line.seat[visit["server"]], visit, session["step_s"])
            session["step_s"] = (session["step_s"] + session["alone_s"] + wait_s) / 2
        _gather(line)


@compiled
def _gather(line: Line) -> None:
    """Add up the sessions at every server."""
    for seat in line.seat:
        seat["weight"], seat["work_s"], seat["weight_per_s"] = 0.0, 0.0, 0.0
        seat["use"], seat["half_s"], seat["tasks"] = 0.0, 0.0, 0.0
    for i in range(line.state[0]):
        slot = line.order[0, i]
        step_s, weight = line.session[slot]["step_s"], weight_of(line.session[slot])
        for h in range(line.session[slot]["hops"]):
            visit = line.visit[slot, h]
            task_s, tasks, seat = visit["task_s"], visit["tasks"], line.seat[visit["server"]]
            use = visit["work_s"] / step_s
            seat["tasks"] += tasks
            seat["weight"] += weight
            seat["work_s"] += task_s
            seat["weight_per_s"] += weight * tasks / step_s
            seat["use"] += use
            seat["half_s"] += use * task_s / 2
    for seat in line.seat:
        seat["wait_s"] = _wait_s(seat["half_s"], seat["use"], seat["work_s"])


@compiled
def _wait_s(half_s: float, use: float, work_s: float) -> float:
    """Who finds one at work waits for half of its work, who finds it in line for all of it."""
    return min(max(half_s / max(1.0 - use, 1e-9), 0.0), max(work_s, 0.0))


@compiled
def _others_s(seat: Any, visit: Any, step_s: float) -> float:
    """How long a session's own step waits for the others at a server, in all its tasks."""
    use, task_s = visit["work_s"] / step_s, visit["task_s"]
    half_s = seat["half_s"] - use * task_s / 2
    waited_s: float = _wait_s(half_s, seat["use"] - use, seat["work_s"] - task_s)
    all_s: float = visit["tasks"] * waited_s
    return all_s


@compiled
def met(line: Line, slot: int, waits_s: FloatArray) -> None:
    """(hops,) how long the step of a session waits for the others on each of its hops."""
    session = line.session[slot]
    for h in range(session["hops"]):
        visit = line.visit[slot, h]
        waits_s[h] = _others_s(line.seat[visit["server"]], visit, session["step_s"])


@compiled
def beside(line: Line, steps: float, now_s: float, met: FloatArray) -> None:
    """(n,) tasks of sessions' steps at every server while a request of so many steps is there,
    each as much as a second of its session counts.

    Those who are there now leave sooner or later. The busier a server is, the surer somebody comes
    instead: as a share of the time that it works, and of no other weight than sessions have in the
    swarm at present.
    """
    met[:] = 0.0
    line.room[:] = 0.0
    weights = 0.0
    for i in range(line.state[0]):
        slot = line.order[0, i]
        weight, both = weight_of(line.session[slot]), min(left_at(line.session[slot], now_s), steps)
        weights += weight
        for h in range(line.session[slot]["hops"]):
            tasks = both * line.visit[slot, h]["tasks"]
            met[line.visit[slot, h]["server"]] += weight * tasks
            line.room[line.visit[slot, h]["server"]] += tasks
    each = weights / max(line.state[0], 1)
    for j in range(len(met)):
        seat = line.seat[j]
        met[j] += min(seat["use"], 1.0) * (seat["tasks"] * steps - line.room[j]) * each
