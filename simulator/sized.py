"""Polling that lets short work slip in: pauses in proportion to what a session takes.

Needs nobody but the client itself. docs/model.md 14.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..routing.waiting import Sizes
from .admission import Gate, is_patient, memory_time
from .session import Session


@dataclass(slots=True)
class Sized:
    """As ``Retry``, but who takes much memory for long pauses longer than who takes little.

    One of these belongs to one run (mutable: what each client has asked for so far).
    """

    _sizes: dict[int, Sizes] = field(default_factory=dict, init=False, repr=False)

    def arrive(self, gate: Gate, session: Session, *, again: bool = False) -> None:
        size = memory_time(gate, session)
        known = self._sizes.setdefault(session.request.client, Sizes())
        if not session.tries_in_all:
            known.seen(size)
        if not gate.attempt(session, patient=is_patient(session)):
            gate.pause(session, self.arrive, times=known.times(size))

    def freed(self, gate: Gate) -> None:
        """Clients do not hear of it."""
