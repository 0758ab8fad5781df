"""How long a step waits at a server that works on one task at a time: an estimate.

For planning and routing; what is reported comes from the simulator, which is exact to the task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.content import FloatArray
from .stake import Stake

if TYPE_CHECKING:
    from .crowding import Line

#: Rounds of the fixed point at most, and the relative change at which it is reached.
ROUNDS, STEADY = 60, 1e-4
#: Kinds of sessions whose visits are remembered.
MOST_VISITS = 4_096
NOBODY: NDArray[np.void] = np.zeros(0, np.void)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What is expected of a session: policies know no more.

    Attributes
    ----------
    alone_s, waits_s : between two tokens, without anybody else, and what it waits for others.
    work_s : of that the work on each hop.
    tasks : on each hop, of one step; empty = one.
    steps : tokens after the first one, which comes at ``from_s``.
    stake : what a second of delay counts.
    """

    alone_s: float
    waits_s: float = 0.0
    work_s: Sequence[float]
    tasks: Sequence[float] = ()
    steps: float
    from_s: float = 0.0
    stake: Stake = field(default_factory=Stake)

    @property
    def step_s(self) -> float:
        """Between two tokens among those who were there when it was told."""
        return self.alone_s + self.waits_s


class Crowd:
    """The sessions at servers that work on one task at a time: who comes finds them at work or in
    line, and makes them wait in turn.

    A session whose steps take ``work_s`` at a server and come every ``step_s`` is at work there for
    the share u = work / step of the time. Who finds it at work waits for half of its work on
    average; who finds it in line, for all of it. In line it is as long as its own step waits, so
    the wait D of a step solves ``D = sum of u work / 2 + D sum of u``. Nobody waits for more than
    one step of everybody. What a session waits makes its own step: a fixed point, brought up to
    date when somebody came or left (docs/model.md 3.2).
    """

    def __init__(self, serial: NDArray[np.bool_]) -> None:
        self._serial = serial
        self._do: Any = None  # the compiled part: numba takes a while to load
        self._line: Line | None = None
        self._slot: dict[int, int] = {}
        self._spare: list[int] = []
        self._changed = False  # whether somebody came or left since it was settled
        self._visits: dict[Any, NDArray[np.void]] = {}
        self._none = np.zeros(len(serial))

    def join(self, session: int, servers: Sequence[int], pace: Pace) -> None:
        """A session comes; where it meets no line nothing is kept of it."""
        if pace.alone_s <= 0:
            return
        visits = self._visits_of(tuple(servers), tuple(pace.work_s), tuple(pace.tasks))
        if not len(visits):
            return
        line = self._room(len(visits))
        slot = self._slot[session] = self._spare.pop()
        stake, steps = pace.stake, (pace.alone_s, pace.waits_s, float(pace.steps), pace.from_s)
        self._do.come(line, slot, visits, float(stake.weight), float(stake.limit_s), *steps)
        self._changed = True

    def _visits_of(
        self, servers: tuple[int, ...], work_s: tuple[float, ...], tasks: tuple[float, ...]
    ) -> NDArray[np.void]:
        """(hops that have a line,) of ``crowding.VISIT``; those of many sessions are the same."""
        key = servers, work_s, tasks
        found = self._visits.get(key)
        if found is None:
            if len(self._visits) >= MOST_VISITS:
                self._visits.clear()
            each = zip(servers, work_s, tasks or (1.0,) * len(servers), strict=True)
            rows = [(j, work, n, work / n) for j, work, n in each if self._serial[j]]
            found = np.array(rows, dtype=self._compiled().VISIT) if rows else NOBODY
            self._visits[key] = found
        return found

    def leave(self, session: int) -> None:
        """A session is gone; unknown ones are ignored."""
        slot = self._slot.pop(session, None)
        if slot is not None:
            self._do.leave(self._line, slot)
            self._changed = True
            self._spare.append(slot)

    def tell(self, session: int, steps: float, now_s: float) -> None:
        """So many steps are expected of a session from now on."""
        if session in self._slot:
            self._do.tell(self._line, self._slot[session], float(steps), now_s)

    def lefts(self, now_s: float) -> dict[int, float]:
        """Steps that each session has yet to make, at least 1; of those of which it is kept."""
        line = self._settled(now_s)
        if line is None:
            return {}
        slots = np.fromiter(self._slot.values(), np.int64, len(self._slot))
        return dict(zip(self._slot, self._do.lefts_at(line, slots, now_s).tolist(), strict=True))

    def wait_s(self, now_s: float) -> FloatArray:
        """(n,) expected wait of a step of somebody else; 0 where nobody waits in line."""
        line = self._settled(now_s)
        return self._none if line is None else line.seat["wait_s"]

    def met_s(self, session: int, now_s: float) -> dict[int, float]:
        """How long a session's own step waits for the others at each server where it stands in
        line; empty where nothing is kept of it."""
        line = self._settled(now_s)
        if line is None or session not in self._slot:
            return {}
        slot = self._slot[session]
        visits = line.visit[slot, : line.session[slot]["hops"]]
        waits = np.empty(len(visits))
        self._do.met(line, slot, waits)
        return dict(zip(visits["server"].tolist(), waits.tolist(), strict=True))

    def seats(self, now_s: float) -> NDArray[np.void]:
        """(n,) of ``crowding.SEAT``: everybody at each server, added up."""
        return (self._settled(now_s) or self._room(0)).seat

    def beside(self, steps: float, now_s: float) -> FloatArray:
        """(n,) tasks of their steps while a request of so many steps is there, by weight."""
        line = self._settled(now_s)
        if line is None:
            return self._none
        met = np.empty(len(self._serial))
        self._do.beside(line, float(steps), now_s, met)
        return met

    def _settled(self, now_s: float) -> Line | None:
        if self._changed:
            self._do.settle(self._line, now_s)
            self._changed = False
        return self._line

    def _compiled(self) -> Any:
        if self._do is None:
            from . import crowding

            self._do = crowding
        return self._do

    def _room(self, hops: int) -> Line:
        """The line, with room for one more session of so many hops."""
        self._compiled()
        line, old = self._line, 0 if self._line is None else len(self._line.session)
        longest = 0 if line is None else line.visit.shape[1]
        if line is None or not self._spare or hops > longest:
            slots = old if self._spare else max(16, 2 * old)
            wider: Line = self._do.empty_line(self._serial, slots, max(hops, longest, 4))
            self._spare = [*range(slots - 1, old - 1, -1), *self._spare]
            if line is not None:
                for new, kept in zip(wider, line, strict=True):
                    new[tuple(slice(size) for size in kept.shape)] = kept
            self._line = line = wider
        return line


def steady_steps_s(
    serial: NDArray[np.bool_],
    alone_s: FloatArray,
    visits: Sequence[Sequence[tuple[int, float]]],
) -> FloatArray:
    """(S,) time between two tokens of sessions that go on beside each other.

    The fixed point of ``Crowd`` carried to its end. Prompts are not looked at.

    Parameters
    ----------
    alone_s : (S,) of each session by itself.
    visits : (server, work of a step) on each hop of each session.
    """
    from . import crowding

    line = crowding.empty_line(serial, len(visits), max(map(len, visits), default=0))
    for i, (alone, visited) in enumerate(zip(alone_s.tolist(), visits, strict=True)):
        met = [(j, work, 1.0, work) for j, work in visited if serial[j]]
        line.visit[i, : len(met)] = met
        line.session[i]["hops"], line.session[i]["weight"] = len(met), 1.0
        crowding.join(line, i, alone, 0.0, 1.0, 0.0)
    for _ in range(ROUNDS):
        before = line.session["step_s"].copy()
        line.state[1] = 1
        crowding.settle(line, 0.0)
        if (np.abs(line.session["step_s"] - before) <= STEADY * before).all():
            break
    steps: FloatArray = line.session["step_s"].copy()
    return steps
