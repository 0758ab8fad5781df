"""A line in which short work goes first, and no client lives at the others' cost.

docs/model.md 14. For swarms whose memory is full; elsewhere the line is empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .admission import Gate, memory_time, settle
from .session import Session

#: How much more a session counts, and how much longer it has to be patient, whose client was served
#: all there was beyond the least.
OVERSHARE = 4.0
#: Nobody overtakes who has waited for so long, seconds.
PATIENCE_S = 1_800.0
#: So many are tried, first in line first, whenever cache is freed.
WINDOW = 16


@dataclass(slots=True)
class Ordered:
    """One central line, least memory-time first; who fits may start before who does not.

    Memory-time is the reserved tokens times the seconds that the session is expected to take by
    itself. That of a client that was served more than others counts more; one that comes (back)
    starts level with the least of those who wait. One of these belongs to one run (mutable: what
    each client was served).

    Attributes
    ----------
    overshare : ``OVERSHARE``; 0 looks at sessions only.
    patience_s : ``PATIENCE_S``.
    """

    overshare: float = OVERSHARE
    patience_s: float = PATIENCE_S
    _served: dict[int, float] = field(default_factory=dict, init=False, repr=False)

    def arrive(self, gate: Gate, session: Session, *, again: bool = False) -> None:
        self._level(gate, session.request.client)
        gate.waiting.append(session)
        if not again:  # else ``freed`` is called next
            self.freed(gate)

    def freed(self, gate: Gate) -> None:
        """Try those who come first; behind one whose patience is at its end nobody is tried."""
        weight = {s.request.client: self._weight(s.request.client) for s in gate.waiting}
        late: list[Session] = []
        early: list[Session] = []
        for s in gate.waiting:
            waited_s = gate.now_s - s.origin.arrival_s
            (late if waited_s > self.patience_s * weight[s.request.client] else early).append(s)
        late.sort(key=lambda s: (s.origin.arrival_s, s.row))
        early.sort(key=lambda s: (memory_time(gate, s) * weight[s.request.client], s.row))
        gate.waiting[:] = [*late, *early]
        left = WINDOW

        def attempt(session: Session) -> bool:
            nonlocal left
            left -= 1
            if left < 0 or not gate.attempt(session):
                return False
            client = session.request.client
            self._served[client] = self._served.get(client, 0.0) + memory_time(gate, session)
            return True

        settle(gate, attempt, stop_at_first=bool(late))

    def _weight(self, client: int) -> float:
        """1 for the client that was served least."""
        most, least = max(self._served.values()), min(self._served.values())
        share = (self._served[client] - least) / most if most > 0 else 0.0
        return 1.0 + self.overshare * share

    def _level(self, gate: Gate, client: int) -> None:
        """Who was away has no claim on what others were served meanwhile."""
        waiting = {s.request.client for s in gate.waiting}
        if client not in waiting:
            least = min((self._served[c] for c in waiting), default=0.0)
            self._served[client] = max(self._served.get(client, 0.0), least)
