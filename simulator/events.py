"""What happens to the swarm and to the load while requests run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..core.workload import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """A server fails (``up=False``) or comes (back) with its planned blocks and an empty cache.

    A server whose first event is ``up`` joins: it is out of service from the beginning until
    then. The caches of the sessions on a server that fails are lost.
    """

    time_s: float
    server: int
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadChange:
    """From this instant on requests arrive ``factor`` times as often as drawn."""

    at_s: float
    factor: float

    def __post_init__(self) -> None:
        if not self.factor > 0:
            raise ValueError(f"a load factor must be positive, got {self.factor}")


def joining_servers(events: Iterable[ServerEvent]) -> frozenset[int]:
    """Servers whose first event is ``up``: they begin out of service."""
    first: dict[int, ServerEvent] = {}
    for event in sorted(events, key=lambda e: e.time_s):
        first.setdefault(event.server, event)
    return frozenset(j for j, event in first.items() if event.up)


def with_load_changes(
    requests: Sequence[Request], changes: Sequence[LoadChange]
) -> tuple[Request, ...]:
    """The same requests, arriving faster or slower from given instants on.

    Arrivals are mapped through the clock that runs ``factor`` times as fast from each change on:
    every gap is divided by the factor in force, lengths and order stay.
    """
    steps = sorted(changes, key=lambda c: c.at_s)
    return tuple(replace(r, arrival_s=_warped_s(r.arrival_s, steps)) for r in requests)


def _warped_s(drawn_s: float, steps: Sequence[LoadChange]) -> float:
    """Instant at which the load's own clock shows ``drawn_s``."""
    now_s, clock_s, factor = 0.0, 0.0, 1.0
    for step in steps:
        reached = clock_s + factor * (step.at_s - now_s)
        if reached >= drawn_s:
            break
        now_s, clock_s, factor = step.at_s, reached, step.factor
    return now_s + (drawn_s - clock_s) / factor
