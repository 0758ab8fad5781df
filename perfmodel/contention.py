"""How long a step waits at a server that works on one task at a time: an estimate.

For planning and routing; what is reported comes from the simulator, which is exact to the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..core.content import FloatArray

#: Rounds of the fixed point at most, and the relative change at which it is reached.
ROUNDS, STEADY = 60, 1e-4


class Crowd:
    """The sessions at every server, added up: who comes finds them at work or in line.

    A session whose steps take ``work_s`` here and come every ``step_s`` is at work here for the
    share u = work / step of the time. Who finds it at work waits for half of its work on average;
    who finds it in line, for all of it. In line it is as long as its own step waits, so the wait D
    of a step solves ``D = sum of u work / 2 + D sum of u``. Nobody waits for more than one step of
    everybody (docs/model.md 3.2).

    Attributes
    ----------
    count : (n,) sessions.
    work_s : (n,) work of one step of everybody.
    use : (n,) share of the time that a server works.
    half_s : (n,) sum of u work / 2.
    """

    def __init__(self, serial: np.ndarray) -> None:
        self._serial = serial
        self.count = np.zeros(len(serial), dtype=np.int64)
        self.work_s = np.zeros(len(serial))
        self.use = np.zeros(len(serial))
        self.half_s = np.zeros(len(serial))

    def add(self, visits: Iterable[tuple[int, float]], step_s: float, sign: int = 1) -> None:
        """Somebody comes (or leaves, ``sign`` -1): (server, work) of one step on each hop."""
        for j, work in visits:
            if self._serial[j] and step_s > 0:
                share = work / step_s
                self.count[j] += sign
                self.work_s[j] += sign * work
                self.use[j] += sign * share
                self.half_s[j] += sign * share * work / 2

    def wait_s(self) -> FloatArray:
        """(n,) expected wait of a step of somebody else; 0 where nobody waits in line."""
        free = np.maximum(1.0 - self.use, 1e-9)
        wait: FloatArray = np.clip(self.half_s / free, 0.0, np.maximum(self.work_s, 0.0))
        return wait


def steady_steps_s(
    serial: np.ndarray, alone_s: FloatArray, visits: Sequence[Sequence[tuple[int, float]]]
) -> FloatArray:
    """(S,) time between two tokens of sessions that go on beside each other.

    The fixed point of the waits of ``Crowd``: every session waits for all others at their steps,
    damped by half. Prompts are not looked at.

    Parameters
    ----------
    alone_s : (S,) of each session by itself.
    visits : (server, work of a step) on each hop of each session.
    """
    steps = np.array(alone_s, dtype=np.float64)
    for _ in range(ROUNDS):
        crowd = Crowd(serial)
        for visited, step in zip(visits, steps.tolist(), strict=True):
            crowd.add(visited, step)
        found = np.empty(len(steps))
        for i, (visited, step) in enumerate(zip(visits, steps.tolist(), strict=True)):
            crowd.add(visited, step, -1)  # nobody waits for itself
            found[i] = alone_s[i] + crowd.wait_s()[[j for j, _ in visited]].sum()
            crowd.add(visited, step)
        steady = bool((np.abs(found - steps) <= STEADY * steps).all())
        steps = (steps + found) / 2
        if steady:
            break
    return steps
