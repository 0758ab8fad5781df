"""The groups of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..render import print_lines, print_table
from ..studies.sweepgroups import compared_in, groups_of
from .text import mean_of


def print_groups(records: Sequence[dict[str, Any]]) -> None:
    """One row per group; ``*`` marks the Pareto front of response and throughput."""
    groups = groups_of(records)
    shown = compared_in(groups)
    keys = list(dict.fromkeys(k for g in groups for k, _ in g.values))
    variants = any(g.variant for g in groups)
    columns = [
        *(["variant"] if variants else []),
        *keys,
        *(f.title for f in shown),
        "completed",
        "pareto",
    ]
    rows: list[list[object]] = []
    for group in groups:
        values = dict(group.values)
        rows.append(
            [
                *([group.variant] if variants else []),
                *(values.get(k, "") for k in keys),
                *(mean_of(group.figures[f.id]) for f in shown),
                f"{group.completed * 100:.1f} %",
                "*" if group.pareto else "",
            ]
        )
    print_table(f"{len(records)} configurations, mean over seeds (95 % interval)", columns, rows)
    errors = dict.fromkeys(e.splitlines()[0] for g in groups for e in g.errors)
    print_lines([f"failed: {e}" for e in errors] or ["every configuration was planned and served"])
