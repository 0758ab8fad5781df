"""Who physically holds which cache: kept apart from the reservations that routers see.

``SwarmState`` also counts sessions that wait for cache; this ledger counts only those that run.
It is the proof that no pool is ever over-committed: taking more than there is stops the run.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.plan import Hop, Placement
from ..perfmodel.cost import CostModel

#: The occupancy timeline keeps between half as many and this many samples.
SAMPLES = 512


class Ledger:
    """Physical cache use of every server.

    Attributes
    ----------
    used_bytes, peak_bytes : per server, now and at most so far.
    sessions : per server, sessions that hold cache there.
    """

    def __init__(self, cost: CostModel, placement: Placement, span_s: float) -> None:
        n = cost.problem.num_servers
        self._cost = cost
        self._pool: list[int] = placement.cache_bytes.tolist()
        self.used_bytes = [0] * n
        self.peak_bytes = [0] * n
        self.sessions = [0] * n
        self._area = [0.0] * n
        self._since_s = [0.0] * n
        self._pause_s = span_s / SAMPLES
        self._next_s = 0.0
        self._samples: list[tuple[float, list[int]]] = []

    def fits(self, hops: Iterable[Hop], tokens: int) -> bool:
        """Whether ``tokens`` tokens fit on every hop at this moment."""
        return all(
            self.used_bytes[h.server] + self._need(h, tokens) <= self._pool[h.server] for h in hops
        )

    def enter(self, hops: Iterable[Hop], tokens: int, now_s: float) -> None:
        """A session takes cache for ``tokens`` tokens on these hops."""
        for hop in hops:
            self.sessions[hop.server] += 1
            self._add(hop, self._need(hop, tokens), now_s)

    def leave(self, hops: Iterable[Hop], tokens: int, now_s: float) -> None:
        """A session gives the cache of these hops back."""
        for hop in hops:
            self.sessions[hop.server] -= 1
            self._add(hop, -self._need(hop, tokens), now_s)

    def grow(self, hops: Iterable[Hop], tokens: int, more: int, now_s: float) -> None:
        """A session that holds so many tokens takes cache for ``more`` of them."""
        for hop in hops:
            added = self._need(hop, tokens + more) - self._need(hop, tokens)
            self._add(hop, added, now_s)

    def _add(self, hop: Hop, size: int, now_s: float) -> None:
        if now_s >= self._next_s:
            self._sample(now_s)
        j = hop.server
        used = self.used_bytes[j]
        self._area[j] += used * (now_s - self._since_s[j])
        self._since_s[j] = now_s
        used += size
        assert 0 <= used <= self._pool[j], f"server {j} would hold {used} of {self._pool[j]} bytes"
        self.used_bytes[j] = used
        if used > self.peak_bytes[j]:
            self.peak_bytes[j] = used

    def _need(self, hop: Hop, tokens: int) -> int:
        """Cache of so many tokens on a hop, bytes."""
        return int(self._cost.cache_bytes(tokens, hop.start, hop.end))

    def _sample(self, now_s: float) -> None:
        """Note the use up to now; when there are many samples, keep every other one."""
        self._samples.append((now_s, self.used_bytes.copy()))
        if len(self._samples) >= SAMPLES:
            self._samples = self._samples[::2]
            self._pause_s *= 2.0
        self._next_s = now_s + self._pause_s

    def used_byte_seconds(self, end_s: float) -> FloatArray:
        """(n,) cache in use, integrated over time until ``end_s``."""
        used = np.array(self.used_bytes, dtype=np.float64)
        area: FloatArray = np.array(self._area) + used * (end_s - np.array(self._since_s))
        return area

    def timeline(self) -> tuple[FloatArray, IntArray]:
        """Instants (T,) and bytes in use just before each, (T, n)."""
        times = np.array([t for t, _ in self._samples], dtype=np.float64)
        rows = np.array([row for _, row in self._samples], dtype=np.int64)
        return times, rows.reshape(len(times), len(self._pool))
