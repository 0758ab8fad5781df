"""What happens to the swarm while requests run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..core.content import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """A server fails (``up=False``) or comes (back) with its planned blocks and an empty cache.

    A server whose first event is ``up`` joins: it is out of service from the beginning until
    then. The caches of the sessions on a server that fails are lost.
    """

    time_s: float
    server: int
    up: bool


def joining_servers(events: Iterable[ServerEvent]) -> frozenset[int]:
    """Servers whose first event is ``up``: they begin out of service."""
    first: dict[int, ServerEvent] = {}
    for event in sorted(events, key=lambda e: e.time_s):
        first.setdefault(event.server, event)
    return frozenset(j for j, event in first.items() if event.up)


def up_s(events: Iterable[ServerEvent], servers: int, end_s: float) -> FloatArray:
    """(n,) how long each server is in service until the end of a run."""
    told = sorted(events, key=lambda e: e.time_s)
    total, since = np.zeros(servers), np.zeros(servers)
    up = np.ones(servers, dtype=bool)
    up[list(joining_servers(told))] = False
    for event in told:
        at = min(event.time_s, end_s)
        if up[event.server] and not event.up:
            total[event.server] += at - since[event.server]
        if not up[event.server] and event.up:
            since[event.server] = at
        up[event.server] = event.up
    total[up] += end_s - since[up]
    return total
