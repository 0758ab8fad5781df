"""What a request does when its servers are full: one rule per run, the same for every method.

``retry`` (default)
    As PETALS' clients do: opening a session reserves on every server of the chain or fails at
    once; the client pauses 1, 2, 4 ... 60 s and asks its router again. (PETALS' pause after the
    very first failure is 0: that second try meets the same pools, so it is left out.)
``queue``
    One central queue, first come first served; its head is tried again whenever cache is freed.
    Nobody overtakes unless ``backfill`` is set.
``reserve``
    The published evaluation of BPRR (docs/model.md, online routing): the route is chosen on
    arrival, the cache counts as held from then on, and the session starts at the first retry
    instant at which the earlier holders are expected to have left.
``notify``
    The same, started as soon as they are expected to have left.
``sized``
    As ``retry``, with pauses in proportion to what a session takes (``simulator.sized``).
``ordered``
    One central line, least memory-time first, in which nobody starves and no client lives at the
    others' cost (``simulator.line``).

A router that decides for all requests of a slot of time brings its own rule, ``Slotted``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ..core.plan import Route
from ..routing.api import Decision
from ..routing.waiting import LONGEST_PAUSE_S, pause_s, retry_instant_s
from .session import Session


class Gate(Protocol):
    """What a waiting rule may do: the simulated swarm as it sees it.

    Attributes
    ----------
    now_s : the present instant.
    waiting : sessions that wait for cache to be freed, in order.
    """

    waiting: list[Session]

    @property
    def now_s(self) -> float: ...

    @property
    def idle(self) -> bool:
        """Whether nothing runs and no server is still to come."""
        ...

    def attempt(self, session: Session, *, patient: bool = False) -> bool:
        """Open the session now if its chain has room; whether it is settled."""
        ...

    def choose(self, session: Session) -> Route | None:
        """Ask the router; None when it knows no chain at present."""
        ...

    def give_up(self, session: Session) -> bool:
        """Refuse a session without a chain, unless a server may still come."""
        ...

    def refuse_size(self, session: Session) -> None:
        """End a session that is larger than what it is offered can ever hold."""
        ...

    def pause(self, session: Session, again: Handler, *, times: float = 1.0) -> None:
        """Come back after PETALS' pause for the failed tries so far, times a factor."""
        ...

    def wait_s(self, session: Session, route: Route) -> float:
        """Longest expected wait over the hops of a chain, seconds from now."""
        ...

    def book(self, session: Session, route: Route, start_s: float) -> None:
        """Hold cache from now on for a session that starts later."""
        ...

    def start_if_room(self, session: Session) -> bool:
        """Start a booked session unless sessions before it still hold the cache."""
        ...

    def assign(self, sessions: Sequence[Session]) -> Sequence[Decision | None]:
        """Ask a router that decides for all requests of a slot."""
        ...

    def admit(self, session: Session, decision: Decision) -> bool:
        """Open a session on the chain that was decided for it, if that has room now."""
        ...

    def alone_s(self, session: Session) -> float:
        """What a session is expected to take on the chain that is fastest if nobody else runs."""
        ...

    def at(self, time_s: float, then: Callable[[], None]) -> None:
        """Call ``then`` at an instant."""
        ...


#: What happens to a session next.
Handler = Callable[[Gate, Session], None]


def memory_time(gate: Gate, session: Session) -> float:
    """What a session takes of memory, token seconds: its reservation for as long as it lasts."""
    return session.request.reserved_tokens * gate.alone_s(session)


def is_patient(session: Session) -> bool:
    """An idle swarm is refused only after a pause of 60 s: routers may see old figures."""
    return not session.tries or pause_s(session.tries) < LONGEST_PAUSE_S


class Rule(Protocol):
    """A waiting rule. What waits is kept in ``gate.waiting``."""

    def arrive(self, gate: Gate, session: Session, *, again: bool = False) -> None:
        """A session wants in.

        ``again`` when it had to give up its cache and comes back; ``freed`` is called next then.
        """
        ...

    def freed(self, gate: Gate) -> None:
        """Some cache was freed, or a server came up."""
        ...


@dataclass(frozen=True, slots=True)
class Retry:
    """Try, pause 1, 2, 4 ... 60 s, ask the router again."""

    def arrive(self, gate: Gate, session: Session, *, again: bool = False) -> None:
        if not gate.attempt(session, patient=is_patient(session)):
            gate.pause(session, self.arrive)

    def freed(self, gate: Gate) -> None:
        """Clients do not hear of it."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One central queue; with ``backfill`` a request that fits may overtake the head."""

    backfill: bool = False

    def arrive(self, gate: Gate, session: Session, *, again: bool = False) -> None:
        if again:
            gate.waiting.insert(0, session)
        elif (gate.waiting and not self.backfill) or not gate.attempt(session):
            gate.waiting.append(session)

    def freed(self, gate: Gate) -> None:
        settle(gate, gate.attempt, stop_at_first=not self.backfill)


@dataclass(frozen=True, slots=True)
class Reserve:
    """Book on arrival, start when the earlier holders should have left."""

    rounding: Literal["retry", "none"] = "retry"

    def arrive(self, gate: Gate, session: Session, *, again: bool = False) -> None:
        route = gate.choose(session)
        if route is None:
            if not gate.give_up(session):
                gate.pause(session, self.arrive)
            return
        raw_wait = gate.wait_s(session, route)
        if raw_wait == float("inf"):
            gate.refuse_size(session)
            return
        session.raw_wait_s = raw_wait
        wait = raw_wait if self.rounding == "none" else retry_instant_s(raw_wait)
        gate.book(session, route, gate.now_s + wait)

    def freed(self, gate: Gate) -> None:
        """Let in those whose instant has come while others overran theirs."""
        settle(gate, gate.start_if_room, stop_at_first=False)


@dataclass(slots=True)
class Slotted:
    """Requests are gathered until the end of a slot of time; then the router decides for all.

    One of these belongs to one run (mutable: whether the next slot's end is on the calendar).
    """

    tick_s: float
    _due: bool = field(default=False, init=False, repr=False)

    def arrive(self, gate: Gate, session: Session, *, again: bool = False) -> None:
        gate.waiting.append(session)
        self._wake(gate)

    def freed(self, gate: Gate) -> None:
        """The next slot will see it."""

    def _wake(self, gate: Gate) -> None:
        """Put the end of the present slot on the calendar."""
        if not self._due:
            self._due = True
            slot = math.floor(gate.now_s / self.tick_s) + 1
            if slot * self.tick_s <= gate.now_s:  # the quotient was rounded down
                slot += 1
            gate.at(slot * self.tick_s, lambda: self._decide(gate))

    def _decide(self, gate: Gate) -> None:
        self._due = False
        asked = list(gate.waiting)
        decided = gate.assign(asked)
        left = [
            session
            for session, decision in zip(asked, decided, strict=True)
            if decision is None or not gate.admit(session, decision)
        ]
        if len(left) == len(asked) and gate.idle:  # nothing will change: one by one, or never
            left = [session for session in left if not gate.attempt(session)]
        # Who came back while others were admitted stands behind those who waited.
        gate.waiting[:] = left + [s for s in gate.waiting if s not in asked]
        if gate.waiting:
            self._wake(gate)


def settle(gate: Gate, attempt: Callable[[Session], bool], *, stop_at_first: bool) -> None:
    """Try the waiting sessions in order; those that are settled leave the line."""
    line = gate.waiting
    i = 0
    while i < len(line):
        session = line[i]
        if attempt(session):
            del line[i]
        elif stop_at_first:
            return
        else:
            i += 1
