"""Who is at work at the servers, as one client knows it.

Three sources: the client's own sessions; what other clients of its operator published
(``shares``); and, for waits at its own hops (``hops``) that neither explains, strangers whose work
would make one wait so long. Together they are the crowd that the plan's router sees. Where nothing
is known, or nothing is fresh, nobody is there: the plan as it is. Plain Python, no hivemind.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..core.content import FloatArray
from ..perfmodel.contention import Crowd, Pace
from .hops import HopWaits, Sample
from .shares import Share, Told
from .strangers import strangers, unexplained_s


class OwnHop(NamedTuple):
    """A hop of an own session: what is no work, and the work of a step, seconds."""

    peer: str
    start: int
    end: int
    delay_s: float
    work_s: float

    @property
    def alone_s(self) -> float:
        """The hop when nobody else is there."""
        return self.delay_s + self.work_s


#: What the last step counts in the mean time of a session's steps.
LAST_STEP = 0.25
#: Published sessions that are looked at.
MOST_TOLD = 4096


@dataclass(slots=True)
class _Own:
    """An own session: steps that are expected of it, and made; their mean time, once known."""

    hops: tuple[OwnHop, ...]
    steps: int
    made: int = 0
    at_s: float | None = None
    seen_s: float | None = None

    def stepped(self, now_s: float) -> None:
        """A step was made; the first one is the prompt."""
        if self.at_s is not None:
            took_s = now_s - self.at_s
            seen_s = took_s if self.seen_s is None else self.seen_s
            self.seen_s = seen_s + LAST_STEP * (took_s - seen_s)
            self.made += 1
        self.at_s = now_s

    @property
    def alone_s(self) -> float:
        return sum(h.alone_s for h in self.hops)

    @property
    def step_s(self) -> float:
        return max(self.alone_s, self.seen_s or 0.0)

    @property
    def left(self) -> int:
        return max(1, self.steps - self.made)


class _Someone(NamedTuple):
    """A session somewhere: its servers, and what is expected of it. own : its number, if so."""

    peers: tuple[str, ...]
    pace: Pace
    own: int | None = None


class Wait(NamedTuple):
    """How long a step waits at a server, seconds: as own hops saw it (None: nothing fresh), and as
    those who are taken to be there make it."""

    seen_s: float | None
    computed_s: float


class Present:
    """Own sessions, published ones, and strangers."""

    def __init__(self) -> None:
        self._own: dict[int, _Own] = {}
        self._told: dict[str, tuple[Told, float]] = {}
        self._waits = HopWaits()
        self._known: tuple[Crowd, dict[str, int]] | None = None
        self._lock = threading.Lock()
        self.changes = 0

    def begin(self, number: int, hops: Sequence[OwnHop], steps: int) -> None:
        """An own session takes a chain: the first one, or what a retry puts in place of a part."""
        with self._lock:
            old = self._own.get(number)
            if old is None:
                self._own[number] = _Own(tuple(hops), steps)
            else:
                old.hops = spliced(old.hops, hops)
            self._changed()

    def step(self, number: int, now_s: float) -> None:
        """An own session made a step."""
        with self._lock:
            if number in self._own:
                self._own[number].stepped(now_s)

    def end(self, number: int) -> None:
        """An own session is over."""
        with self._lock:
            if self._own.pop(number, None) is not None:
                self._changed()

    def chains(self) -> dict[int, tuple[OwnHop, ...]]:
        """Of all own sessions."""
        with self._lock:
            return {number: own.hops for number, own in self._own.items()}

    def hear(self, told: Mapping[str, Told], now_s: float) -> None:
        """What other clients tell, by client; in place of all that was heard before."""
        with self._lock:
            self._told = {client: (one, now_s) for client, one in told.items() if one.shares}
            self._known = None

    def hop(self, number: int, peer: str, took_s: float, now_s: float) -> None:
        """A step of an own session went through a server."""
        with self._lock:
            own = self._own.get(number)
            if own is None:
                return
            there = [h for h in own.hops if h.peer == peer]
            if len(there) != 1:  # another chain than was thought, or one that comes back
                return
            (hop,) = there
            alone_s = self._waits.alone_s(hop[:3], took_s, hop.alone_s)
            explained_s = self._explained_s(number, peer, now_s)
            sample = Sample(took_s - alone_s, explained_s, alone_s, hop.work_s)
            self._waits.add(peer, sample, now_s)

    def shares(self) -> list[Share]:
        """Own sessions by server, to be published."""
        with self._lock:
            at: dict[str, list[tuple[_Own, OwnHop]]] = {}
            for own in self._own.values():
                for hop in own.hops:
                    at.setdefault(hop.peer, []).append((own, hop))
        return [
            Share(
                peer=peer,
                sessions=len(them),
                work_s=sum(h.work_s for _, h in them) / len(them),
                alone_s=sum(own.alone_s for own, _ in them) / len(them),
                step_s=sum(own.step_s for own, _ in them) / len(them),
                # One that is past its end is no step from it: it may go on for a while.
                steps=sum(max(own.left, own.made / 4) for own, _ in them) / len(them),
            )
            for peer, them in at.items()
        ]

    def join(
        self,
        crowd: Crowd,
        row: Mapping[str, int],
        now_s: float,
        *,
        most_work_s: FloatArray,
        stranger_steps: float,
        without: int | None = None,
    ) -> None:
        """Let everybody who is there join a crowd.

        Parameters
        ----------
        row : of each server in the crowd; others are left out.
        most_work_s : (n,) of a step at each server: others cannot claim more.
        stranger_steps : of an answer of strangers.
        without : an own session that is about to take another chain.
        """
        with self._lock:
            someone = [*self._known_ones(now_s), *self._strangers(now_s, stranger_steps)]
        for session, one in enumerate(s for s in someone if s.own is None or s.own != without):
            met = [(row[p], w) for p, w in zip(one.peers, one.pace.work_s, strict=True) if p in row]
            if one.own is None:
                met = [(j, min(w, float(most_work_s[j]))) for j, w in met]
            if met:
                pace = replace(one.pace, work_s=[w for _, w in met])
                crowd.join(session, [j for j, _ in met], pace)

    def waits(self, now_s: float, *, stranger_steps: float) -> dict[str, Wait]:
        """The wait of somebody else's step at every server of which something is known."""
        with self._lock:
            seen = self._waits.seen(now_s, stranger_steps)
            someone = [*self._known_ones(now_s), *self._strangers(now_s, stranger_steps)]
        crowd, row = _crowd_of(someone)
        computed = crowd.wait_s(now_s)
        found = {}
        for peer in {*seen, *row}:
            mean = seen.get(peer)
            at = row.get(peer)
            found[peer] = Wait(
                None if mean is None else mean[1] * mean[0].wait_s,
                0.0 if at is None else float(computed[at]),
            )
        return found

    def _changed(self) -> None:
        self._known = None
        self.changes += 1

    def _known_ones(self, now_s: float) -> Iterator[_Someone]:
        """Own sessions and published ones."""
        for number, own in self._own.items():
            pace = Pace(
                alone_s=own.alone_s,
                waits_s=own.step_s - own.alone_s,
                work_s=[h.work_s for h in own.hops],
                steps=own.left,
                from_s=now_s,
            )
            yield _Someone(tuple(h.peer for h in own.hops), pace, number)
        told = (
            one
            for told, heard_s in self._told.values()
            for share in told.shares
            for one in _still_there(share, told.age_s + now_s - heard_s, now_s)
        )
        yield from islice(told, MOST_TOLD)

    def _strangers(self, now_s: float, steps: float) -> Iterator[_Someone]:
        for peer, (mean, worth) in self._waits.seen(now_s, steps).items():
            unknown_s = worth * unexplained_s(mean)
            count, pace = strangers(unknown_s, mean.work_s, steps / 2, now_s)
            yield from [_Someone((peer,), pace)] * count

    def _explained_s(self, number: int, peer: str, now_s: float) -> float:
        """What the step of an own session waits at a server for those who are known to be there."""
        if self._known is None:
            self._known = _crowd_of(list(self._known_ones(now_s)))
        crowd, row = self._known
        return crowd.met_s(number, now_s).get(row[peer], 0.0)


def _still_there(share: Share, age_s: float, now_s: float) -> Iterator[_Someone]:
    """Published sessions that have not ended since: what each had left is spread evenly about the
    mean, and they went on at their pace."""
    made = age_s / max(share.step_s, 1e-9)
    for i in range(share.sessions):
        left = share.steps * (2 * i + 1) / share.sessions - made
        if left > 0.0:
            pace = Pace(
                alone_s=share.alone_s,
                waits_s=share.step_s - share.alone_s,
                work_s=[share.work_s],
                steps=max(1.0, left),
                from_s=now_s,
            )
            yield _Someone((share.peer,), pace)


def spliced(hops: Sequence[OwnHop], new: Sequence[OwnHop]) -> tuple[OwnHop, ...]:
    """A chain in which some new hops stand in the place of what they cover."""
    start, end = new[0].start, new[-1].end
    before = [h for h in hops if h.end <= start]
    return (*before, *new, *(h for h in hops if h.start >= end))


def _crowd_of(someone: Sequence[_Someone]) -> tuple[Crowd, dict[str, int]]:
    """A crowd of just these, own sessions by their numbers; the row of each server."""
    row: dict[str, int] = {}
    for one in someone:
        for peer in one.peers:
            row.setdefault(peer, len(row))
    crowd = Crowd(np.ones(len(row), dtype=bool))
    for i, one in enumerate(someone):
        session = -1 - i if one.own is None else one.own
        crowd.join(session, [row[p] for p in one.peers], one.pace)
    return crowd, row
