"""The live swarm as routers see it: cache pools, reservations and when they end."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.plan import Placement, Route
from ..perfmodel.contention import Crowd, Pace
from ..perfmodel.cost import CostModel
from .api import FREE, NEVER, Ready, Running


class _Held(NamedTuple):
    """What one session holds: (server, bytes) pairs, and what is expected of it."""

    servers: tuple[int, ...]
    parts: tuple[tuple[int, int], ...]
    finish_s: float
    pace: Pace | None
    client: int | None

    @property
    def step_s(self) -> float:
        """Between two tokens; 0 where it makes none."""
        return 0.0 if self.pace is None else self.pace.step_s


class SwarmState:
    """Reservations on every server's cache pool; routers see it as a ``SwarmView``.

    A session holds its cache from the moment it is reserved until it is released; ``finish_s`` is
    when that is expected. Each server keeps its reservations in order of finish, so that "when
    will this much be free" is a walk over a short sorted list.

    Attributes
    ----------
    free_bytes : (n,) pool minus everything reserved; negative while sessions wait in it.
    down : (n,) servers out of service.
    version : (n,) grows whenever a server's reservations change, so that routers can remember
        what they derived from them.
    crowd : the sessions at servers that work on one task at a time.
    """

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        n = cost.problem.num_servers
        self.placement = placement
        self.pool_bytes: IntArray = placement.cache_bytes
        self.free_bytes: IntArray = placement.cache_bytes.copy()
        self.down = np.zeros(n, dtype=bool)
        self._some_down = False
        self.version = np.zeros(n, dtype=np.int64)
        self.crowd = Crowd(cost.serial)
        self._cost = cost
        self._ends: list[list[tuple[float, int, int]]] = [[] for _ in range(n)]
        self._held: dict[int, _Held] = {}
        self._of_client: Counter[int | None] = Counter()

    def reserve(
        self,
        session: int,
        route: Route,
        tokens: int,
        finish_s: float,
        *,
        pace: Pace | None = None,
        client: int | None = None,
    ) -> None:
        """Hold ``tokens`` tokens of cache for every block that the route runs.

        Parameters
        ----------
        pace : what is expected of its steps; None = it makes none. A session that is not done when
            it was expected to be counts as one token from its end.
        client : whose it is, where that is known.
        """
        parts = self._needs(route, tokens)
        self._held[session] = _Held(route.servers, parts, finish_s, pace, client)
        self._of_client[client] += 1
        if pace is not None:
            self.crowd.join(session, route.servers, pace)
        for j, size in parts:
            self.free_bytes[j] -= size
            self.version[j] += 1
            insort(self._ends[j], (finish_s, session, size))

    def release(self, session: int) -> None:
        """Give back what a session holds; unknown sessions are ignored."""
        held = self._held.pop(session, None)
        if held is None:
            return
        self._of_client[held.client] -= 1
        self.crowd.leave(session)
        for j, size in held.parts:
            self.free_bytes[j] += size
            self.version[j] += 1
            ends = self._ends[j]
            del ends[bisect_left(ends, (held.finish_s, session, size))]

    def retime(self, session: int, finish_s: float, *, steps: float, now_s: float) -> None:
        """Change when a session is expected to end: so many tokens from now."""
        self.crowd.tell(session, steps, now_s)
        held = self._held[session]
        self._held[session] = held._replace(finish_s=finish_s)
        for j, size in held.parts:
            self.version[j] += 1
            ends = self._ends[j]
            del ends[bisect_left(ends, (held.finish_s, session, size))]
            insort(ends, (finish_s, session, size))

    def _needs(self, route: Route, tokens: int) -> tuple[tuple[int, int], ...]:
        """(server, bytes) of a session of so many tokens on each hop."""
        need = self._cost.cache_bytes
        return tuple([(h.server, int(need(tokens, h.start, h.end))) for h in route.hops])

    def closed(self, exclude: frozenset[int]) -> np.ndarray | None:
        """(n,) servers that must not be used, or None when all may."""
        if not exclude and not self._some_down:
            return None
        closed = self.down.copy()
        closed[list(exclude)] = True
        return closed

    def holds(self, session: int) -> bool:
        """Whether a session holds cache."""
        return session in self._held

    def sessions_at(self, server: int) -> tuple[int, ...]:
        """Sessions that hold cache on a server, by expected finish."""
        return tuple(session for _, session, _ in self._ends[server])

    def count_at(self, server: int) -> int:
        """Number of sessions that hold cache on a server."""
        return len(self._ends[server])

    def count_of(self, client: int) -> int:
        """Number of sessions of a client that hold cache."""
        return self._of_client[client]

    def paces_of(self, client: int) -> dict[int, tuple[tuple[int, ...], Pace]]:
        """The sessions of a client that make steps: their servers, and what is expected of them."""
        return {
            session: (held.servers, held.pace)
            for session, held in self._held.items()
            if held.client == client and held.pace is not None
        }

    def running(self, now_s: float) -> list[Running]:
        """The sessions that make steps, in the order in which they were reserved."""
        known = self.crowd.lefts(now_s)
        found = []
        for session, held in self._held.items():
            pace = held.pace
            if pace is None or pace.step_s <= 0:
                continue
            steps = known.get(session)
            if steps is None:  # the crowd knows nothing of it: by its expected end
                steps = max(1.0, (held.finish_s - now_s) / pace.step_s)
            found.append(Running(held.servers, tuple(pace.work_s), pace.alone_s, steps))
        return found

    def set_down(self, server: int, down: bool) -> None:
        """Take a server out of service, or bring it back."""
        self.down[server] = down
        self._some_down = bool(self.down.any())

    def ready_s(self, server: int, need_bytes: int, now_s: float) -> float:
        """When ``need_bytes`` are free: now, or the earliest finish that frees enough.

        Infinite when the whole pool is too small. docs/model.md, online routing: the q-th
        earliest finish for the smallest q that frees enough; one that is over counts as a step
        away.
        """
        (ready,) = self.ready_many(server, (need_bytes,))
        return ready.at_s(now_s)

    def ready_many(self, server: int, needs_bytes: Iterable[int]) -> list[Ready]:
        """When each of several needs in increasing order is expected to be free, in one walk."""
        ends, free = self._ends[server], int(self.free_bytes[server])
        pool = int(self.pool_bytes[server])
        found, i, at = [], 0, FREE
        for need in needs_bytes:
            if need > pool:
                found.append(NEVER)
                continue
            while free < need and i < len(ends):
                finish_s, session, size = ends[i]
                at = Ready(finish_s, self._held[session].step_s)
                free += size
                i += 1
            found.append(at if free >= need else NEVER)
        return found

    def wait_s(self, route: Route, tokens: int, now_s: float) -> float:
        """Longest wait over the hops of a route, seconds from now."""
        return max(self.ready_s(j, need, now_s) - now_s for j, need in self._needs(route, tokens))

    def fits_now(self, route: Route, tokens: int, held_tokens: int = 0) -> bool:
        """Whether a session could open at once on every server of a route, or one that holds
        ``held_tokens`` take so many more."""
        needs = self._needs(route, held_tokens + tokens)
        held = self._needs(route, held_tokens) if held_tokens else ((0, 0),) * len(needs)
        for (j, need), (_, has) in zip(needs, held, strict=True):
            if self.free_bytes[j] < need - has or self.down[j]:
                return False
        return True

    def fits_ever(self, route: Route, tokens: int) -> bool:
        """Whether a session could open on every server of a route if nothing else ran."""
        return all(need <= self.pool_bytes[j] for j, need in self._needs(route, tokens))

    def occupancy(self) -> FloatArray:
        """(n,) share of each pool that is held, 0 for servers without one."""
        pool = np.maximum(self.pool_bytes, 1)
        share: FloatArray = np.where(self.pool_bytes > 0, 1.0 - self.free_bytes / pool, 0.0)
        return share
