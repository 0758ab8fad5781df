"""The load: how often requests come, for planners and simulations alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core.problem import Problem
from ..core.workload import Request


def at_load(problem: Problem, factor: float) -> Problem:
    """The problem at ``factor`` times its load: planners expect it, and that is what comes."""
    load = problem.workload
    classes = tuple(replace(c, rate_per_s=c.rate_per_s * factor) for c in load.classes)
    trace = tuple(replace(r, arrival_s=r.arrival_s / factor) for r in load.trace)
    return replace(problem, workload=replace(load, classes=classes, trace=trace))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadChange:
    """From this instant on requests arrive ``factor`` times as often as drawn."""

    at_s: float
    factor: float

    def __post_init__(self) -> None:
        if not self.factor > 0:
            raise ValueError(f"a load factor must be positive, got {self.factor}")


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
