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
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from ..core.errors import SwarmplanError
from ..routing.waiting import LONGEST_PAUSE_S, pause_s, retry_instant_s

if TYPE_CHECKING:
    from .session import Session
    from .swarm import Swarm


#: The rules by name.
Admission = Literal["retry", "queue", "reserve", "notify"]


class Rule(Protocol):
    """A waiting rule. What waits is kept in ``swarm.waiting``, so rules have no state."""

    def arrive(self, swarm: Swarm, session: Session, *, again: bool = False) -> None:
        """A session wants in; ``again`` when it had to give up its cache and comes back."""
        ...

    def freed(self, swarm: Swarm) -> None:
        """Some cache was freed, or a server came up."""
        ...


@dataclass(frozen=True, slots=True)
class Retry:
    """Try, pause 1, 2, 4 ... 60 s, ask the router again."""

    def arrive(self, swarm: Swarm, session: Session, *, again: bool = False) -> None:
        # An idle swarm is refused only after a pause of 60 s: routers may see old figures.
        patient = pause_s(session.tries) < LONGEST_PAUSE_S if session.tries else True
        if not swarm.attempt(session, patient=patient):
            swarm.pause(session, self.arrive)

    def freed(self, swarm: Swarm) -> None:
        """Clients do not hear of it."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One central queue; with ``backfill`` a request that fits may overtake the head."""

    backfill: bool = False

    def arrive(self, swarm: Swarm, session: Session, *, again: bool = False) -> None:
        if again:
            swarm.waiting.insert(0, session)
            self.freed(swarm)
        elif (swarm.waiting and not self.backfill) or not swarm.attempt(session):
            swarm.waiting.append(session)

    def freed(self, swarm: Swarm) -> None:
        settle(swarm, swarm.attempt, stop_at_first=not self.backfill)


@dataclass(frozen=True, slots=True)
class Reserve:
    """Book on arrival, start when the earlier holders should have left."""

    rounding: Literal["retry", "none"] = "retry"

    def arrive(self, swarm: Swarm, session: Session, *, again: bool = False) -> None:
        now = swarm.kernel.now_s
        route = swarm.choose(session)
        if route is None:
            if swarm.give_up(session):
                return
            swarm.pause(session, self.arrive)
            return
        raw_wait = swarm.state.wait_s(route, session.request.reserved_tokens, now)
        if raw_wait == float("inf"):
            swarm.refuse_size(session)
            return
        session.raw_wait_s = raw_wait
        wait = raw_wait if self.rounding == "none" else retry_instant_s(raw_wait)
        swarm.book(session, route, now + wait)

    def freed(self, swarm: Swarm) -> None:
        """Let in those whose instant has come while others overran theirs."""
        settle(swarm, swarm.start_if_room, stop_at_first=False)


def settle(swarm: Swarm, attempt: Callable[[Session], bool], *, stop_at_first: bool) -> None:
    """Try the waiting sessions in order; those that are settled leave the line."""
    line = swarm.waiting
    i = 0
    while i < len(line):
        session = line[i]
        if attempt(session):
            del line[i]
        elif stop_at_first:
            return
        else:
            i += 1


RULES: dict[str, Rule] = {
    "retry": Retry(),
    "queue": Queue(),
    "reserve": Reserve(),
    "notify": Reserve(rounding="none"),
}


def rule_named(name: str) -> Rule:
    """A waiting rule by its name.

    Raises
    ------
    SwarmplanError
        If there is none of that name.
    """
    if name not in RULES:
        raise SwarmplanError(f"unknown waiting rule {name!r}: use one of {', '.join(RULES)}")
    return RULES[name]
