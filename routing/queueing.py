"""The value of a slot by queueing: how long everybody takes beside everybody. docs/model.md 13."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import accumulate
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.content import ByContent, FloatArray, IntArray
from ..core.plan import Route
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .api import Running

if TYPE_CHECKING:
    from .progress import Sessions


#: Rows of ``progress.SESSION`` and ``progress.HOP``; numpy takes ten times as long to make one.
_HEAD, _HOP = Struct("=qdd"), Struct("=qdddd")
#: Sessions whose hops are remembered.
MOST_KNOWN = 4096


class Part(NamedTuple):
    """What a session does at one server.

    Attributes
    ----------
    server : -1 where nobody stands in line.
    work_s : of one step.
    tasks, piece_s, lead_s : tasks of its prompt, the work of each, and the way to the first.
    """

    server: int
    work_s: float
    tasks: float = 0.0
    piece_s: float = 0.0
    lead_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a session is going to do: its prompt hop after hop, then steps over all of them.

    Attributes
    ----------
    steps : that are expected of it.
    idle_s : of a step what is no work.
    """

    parts: tuple[Part, ...]
    steps: float
    idle_s: float

    @property
    def alone_s(self) -> float:
        """How long it takes if nobody else is there."""
        prompt_s = sum(p.lead_s + p.tasks * p.piece_s for p in self.parts)
        return prompt_s + self.steps * (self.idle_s + sum(p.work_s for p in self.parts))

    @cached_property
    def head(self) -> bytes:
        """One row of ``progress.SESSION``."""
        return _HEAD.pack(len(self.parts), self.steps, self.idle_s)

    @cached_property
    def packed(self) -> bytes:
        """(H,) of ``progress.HOP``: the parts as the compiled part knows them."""
        rows = ((p.server, p.tasks, p.work_s, p.piece_s, p.lead_s) for p in self.parts)
        return b"".join([_HOP.pack(*row) for row in rows])


class Rows(NamedTuple):
    """Courses as the compiled part knows them, one after the other.

    Attributes
    ----------
    heads, hops : of ``progress.SESSION`` and ``progress.HOP``.
    """

    heads: bytes = b""
    hops: bytes = b""

    def beside(self, others: Rows) -> Rows:
        """These, then the others."""
        return Rows(self.heads + others.heads, self.hops + others.hops)


def rows_of(courses: Iterable[Course]) -> Rows:
    """The rows of some courses."""
    found = [(c.head, c.packed) for c in courses]
    return Rows(b"".join([head for head, _ in found]), b"".join([hops for _, hops in found]))


def course_of(cost: CostModel, request: Request, route: Route) -> Course:
    """A request on a chain, from its opening to its last expected token."""
    shape = cost.shape(request.client, request.prompt_tokens, request.planned_tokens)
    tasks = cost.tasks(route, request.client, request.prompt_tokens)
    server, span = tasks.server, (tasks.server, tasks.start, tasks.end)
    serial, work = cost.serial[server], cost.step_work_s(shape, *span)
    count = cost.prompt_tasks(request.prompt_tokens, *span)
    lead = tasks.first_gap_s + (count - 1) * tasks.turn_s
    lead[0] += cost.opening_s
    lead[-1] += tasks.back_s[-1]
    columns = (np.where(serial, server, -1), work, count, tasks.prompt_s / count, lead)
    return Course(
        parts=tuple(
            Part(server=j, work_s=w, tasks=float(k), piece_s=piece, lead_s=before)
            for j, w, k, piece, before in zip(*(c.tolist() for c in columns), strict=True)
        ),
        steps=float(request.planned_tokens - 1),
        idle_s=max(0.0, cost.step_s(route, shape) - float(work.sum())),
    )


def rest_of(cost: CostModel, session: Running) -> Course:
    """What is left of a session that runs: steps."""
    lines = [j if cost.serial[j] else -1 for j in session.servers]
    return Course(
        parts=tuple(map(Part, lines, session.work_s)),
        steps=session.steps,
        idle_s=max(0.0, session.alone_s - sum(session.work_s)),
    )


class Rest:
    """The rows of those who run: all but the steps that are left stays as it is from one decision
    to the next, and is worked out once."""

    def __init__(self, cost: CostModel) -> None:
        self._cost = cost
        self._known: dict[tuple[object, ...], Course] = {}

    def __call__(self, running: Iterable[Running]) -> Rows:
        heads, hops = [], []
        for session in running:
            course = self._known.get(session[:3]) or self._course(session)
            heads.append(_HEAD.pack(len(session.servers), session.steps, course.idle_s))
            hops.append(course.packed)
        return Rows(b"".join(heads), b"".join(hops))

    def _course(self, session: Running) -> Course:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        course = self._known[session[:3]] = rest_of(self._cost, session)
        return course


@dataclass(frozen=True, kw_only=True, eq=False)
class Queueing(ByContent):
    """Sum of the responses of a slot's requests, and of what is left of those who run.

    Attributes
    ----------
    offered : of each request, what it would do on each of its chains.
    running : what those who run still do.
    wait_s : (R,) what waiting costs.
    servers : number of servers.
    """

    offered: tuple[tuple[Course, ...], ...]
    running: Rows
    wait_s: FloatArray
    servers: int

    def __call__(self, choice: IntArray) -> float:
        """The cost of an assignment."""
        do = _compiled()
        given = self._sessions, self._first, choice, self.wait_s, self.servers, do.LEFT
        value_s: float = do.value_s(*given)
        return value_s

    def waiting(self, wait_s: FloatArray) -> Queueing:
        """The same where waiting costs so much; what is worked out of it already stays so."""
        other = replace(self, wait_s=wait_s)
        vars(other).update(_sessions=self._sessions, _first=self._first)
        return other

    def ends_s(self, choice: IntArray) -> FloatArray:
        """When those who start end, in order, then those who run."""
        do = _compiled()
        ends: FloatArray = do.ends_s(self._sessions, self._first, choice, self.servers, do.LEFT)
        return ends

    def alone_s(self) -> FloatArray:
        """(R,) time of each request on the fastest of its chains if nobody else were there."""
        return np.array([min((c.alone_s for c in chains), default=0.0) for chains in self.offered])

    def lines_s(self, choice: IntArray) -> FloatArray:
        """(J,) how long a task waits at each server at first."""
        do = _compiled()
        lines: FloatArray = do.lines_s(self._sessions, self._first, choice, self.servers, do.LEFT)
        return lines

    @cached_property
    def _first(self) -> IntArray:
        """(R + 1,) row of the first chain of each request; last of those who run."""
        return np.array([0, *accumulate(map(len, self.offered))], dtype=np.int64)

    @cached_property
    def _sessions(self) -> Sessions:
        """All chains of all requests, then those who run."""
        return sessions_of(
            rows_of(c for chains in self.offered for c in chains).beside(self.running)
        )


def sessions_of(rows: Rows) -> Sessions:
    """The arrays of some rows."""
    do = _compiled()
    found: Sessions = do.Sessions(_array(rows.heads, do.SESSION), _array(rows.hops, do.HOP))
    return found


@cache
def _compiled() -> Any:
    """The module ``progress``: numba takes a while to load."""
    from . import progress

    return progress


def _array(content: bytes, kind: np.dtype[np.void]) -> NDArray[np.void]:
    """Rows of a kind, which may be changed: compiled code knows one sort of array."""
    return np.ndarray(len(content) // kind.itemsize, kind, bytearray(content))
