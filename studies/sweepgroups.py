"""Sweep results in groups: mean and interval over the seeds, and who is on the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..simulator.figures import COMPARED, EXPENSES, Figure
from ..simulator.metrics import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All seeds of one variant and one choice of values.

    Attributes
    ----------
    figures : mean and 95 % interval over the seeds by figure, as tables show them.
    completed : share of the requests.
    pareto : no other group has both a lower 95th percentile of response and more tokens/s.
    """

    variant: str
    values: tuple[tuple[str, Any], ...]
    runs: int
    figures: dict[str, Interval]
    completed: float
    errors: tuple[str, ...]
    pareto: bool = False


def compared_in(groups: Sequence[Group]) -> tuple[Figure, ...]:
    """What tells groups apart: energy and money where some know them."""
    known = (f for f in EXPENSES if any(not math.isnan(g.figures[f.id].mean) for g in groups))
    return (*COMPARED, *known)


def groups_of(records: Sequence[dict[str, Any]]) -> tuple[Group, ...]:
    """Groups in the order of the sweep."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        key = repr((record["variant"], record["values"]))
        found.setdefault(key, []).append(record)
    groups = [_group(members) for members in found.values()]
    front = _front(groups)
    return tuple(
        Group(**{**{k: getattr(g, k) for k in g.__slots__}, "pareto": i in front})
        for i, g in enumerate(groups)
    )


def _group(members: Sequence[dict[str, Any]]) -> Group:
    good = [m["summary"] for m in members if m["summary"] is not None]
    return Group(
        variant=members[0]["variant"],
        values=tuple(members[0]["values"].items()),
        runs=len(members),
        figures={
            figure.id: Interval.of([figure.factor * figure.stored(s) for s in good])
            for figure in (*COMPARED, *EXPENSES)
        },
        completed=(
            sum(s["completed"] for s in good) / max(1, sum(s["requests"] for s in good))
            if good
            else 0.0
        ),
        errors=tuple(dict.fromkeys(m["error"] for m in members if m["error"])),
    )


def _front(groups: Sequence[Group]) -> set[int]:
    """Least response for every throughput: sorted by response, each must bring more tokens/s."""
    points = [
        (g.figures["p95_response_s"].mean, -g.figures["tokens_per_s"].mean, i)
        for i, g in enumerate(groups)
        if not g.errors
    ]
    best, front = math.inf, set()
    for response, minus_rate, i in sorted(p for p in points if p[0] == p[0] and p[1] == p[1]):
        if minus_rate < best:
            best = minus_rate
            front.add(i)
        del response
    return front
