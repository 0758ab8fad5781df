"""When sessions can start that are all there at once: cache held by intervals of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from swarmplan.core.errors import RequestTooLargeError
from swarmplan.core.plan import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class _Booked:
    """One session: from when to when it holds what on which servers."""

    start_s: float
    end_s: float
    needs_bytes: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Timetable:
    """Sessions booked so far, in order; a later one may run before an earlier one that waits.

    This is how the reference times its offline plans. The simulator's waiting rules differ: under
    ``notify`` a session that waits keeps its cache from all that come after it.
    """

    placement: Placement
    _booked: list[_Booked] = field(default_factory=list)

    def book(self, needs_bytes: Mapping[int, int], duration_s: float) -> float:
        """Book the first instant at which every server has room until the session ends.

        Parameters
        ----------
        needs_bytes : cache needed, by row of the server.

        Raises
        ------
        RequestTooLargeError
            If some server has too little cache even when idle.
        """
        instants = sorted({0.0, *(b.end_s for b in self._booked)})
        for start_s in instants:
            booked = _Booked(start_s=start_s, end_s=start_s + duration_s, needs_bytes=needs_bytes)
            if all(self._fits(booked, server) for server in needs_bytes):
                self._booked.append(booked)
                return start_s
        raise RequestTooLargeError("some server of the chain is too small for the session")

    def _fits(self, new: _Booked, server: int) -> bool:
        """Use grows only when a session starts, so those instants decide."""
        others = [
            b
            for b in self._booked
            if server in b.needs_bytes and b.start_s < new.end_s and b.end_s > new.start_s
        ]
        free = int(self.placement.cache_bytes[server]) - new.needs_bytes[server]
        return all(
            sum(b.needs_bytes[server] for b in others if b.start_s <= at < b.end_s) <= free
            for at in {new.start_s, *(b.start_s for b in others if b.start_s > new.start_s)}
        )
