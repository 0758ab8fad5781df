"""What happens to the swarm while requests run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ..core.content import FloatArray
from ..core.events import ServerEvent
from ..core.plan import Placement
from ..core.problem import Problem
from ..perfmodel.reload import Reload, adapters_of


def when_loaded(
    events: Iterable[ServerEvent], problem: Problem, placement: Placement
) -> tuple[ServerEvent, ...]:
    """The events with servers that come cold coming when they have loaded their blocks.

    One that fails before does not come; one that hosts nothing has nothing to load.
    """
    told, found, reload = sorted(events, key=lambda e: e.time_s), [], Reload()
    for i, event in enumerate(told):
        span = placement.span(event.server)
        if not (event.up and event.cold) or span is None:
            found.append(event)
            continue
        server = problem.servers[event.server]
        ready_s = event.time_s + reload.start_s(
            server,
            (span.start, span.end),
            stored=event.cold == "disk",
            adapters=adapters_of(problem, server),
        )
        later = (e for e in told[i + 1 :] if e.server == event.server and not e.up)
        if all(e.time_s > ready_s for e in later):
            found.append(replace(event, time_s=ready_s, cold=None))
    return tuple(found)


def joining_servers(events: Iterable[ServerEvent]) -> frozenset[int]:
    """Servers whose first event is ``up``: they begin out of service."""
    first: dict[int, ServerEvent] = {}
    for event in sorted(events, key=lambda e: e.time_s):
        first.setdefault(event.server, event)
    return frozenset(j for j, event in first.items() if event.up)


def up_s(
    events: Iterable[ServerEvent], joining: frozenset[int], servers: int, end_s: float
) -> FloatArray:
    """(n,) how long each server is in service until the end of a run.

    Parameters
    ----------
    joining : servers that begin out of service.
    """
    told = sorted(events, key=lambda e: e.time_s)
    total, since = np.zeros(servers), np.zeros(servers)
    up = np.ones(servers, dtype=bool)
    up[list(joining)] = False
    for event in told:
        at = min(event.time_s, end_s)
        if up[event.server] and not event.up:
            total[event.server] += at - since[event.server]
        if not up[event.server] and event.up:
            since[event.server] = at
        up[event.server] = event.up
    total[up] += end_s - since[up]
    return total
