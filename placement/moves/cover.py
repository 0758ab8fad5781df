"""Does any choice of spans meet the demands on hosts? An exact covering programme.

One binary per server and span, at most one span per server; per demand and block enough groups
of servers. Only the largest spans of a server need be looked at: more blocks never hurt coverage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ...core.content import IntArray
from ...core.errors import HeuristicFailedError
from ...core.needs import Need
from ...solve.deadline import Deadline
from ...solve.mip import solve_programme
from ...solve.programme import Builder


def cover(
    windows: Sequence[Sequence[tuple[int, int]]],
    wanted: Sequence[Need],
    length: int,
    *,
    time_limit_s: float,
) -> tuple[IntArray, IntArray] | None:
    """Starts and ends of all servers, None when it is proven that no choice meets the demands.

    Parameters
    ----------
    windows : for each server the spans [start, end) to choose from.
    wanted : the demands, over ``length`` blocks.

    Raises
    ------
    HeuristicFailedError
        If the time limit comes first.
    """
    written = Builder()
    #: By demand and block: who could host it, as (group, column).
    hosts: list[list[list[tuple[int, int]]]] = [[[] for _ in range(length)] for _ in wanted]
    chosen: list[tuple[int, int, int]] = []  # by column
    for j, spans in enumerate(windows):
        mine = []
        for start, end in spans:
            mine.append(written.variable(upper=1.0, integer=True))
            chosen.append((j, start, end))
            for need, by_block in zip(wanted, hosts, strict=True):
                if need.group[j] >= 0:
                    for block in range(start, end):
                        by_block[block].append((int(need.group[j]), mine[-1]))
        if mine:
            written.row(dict.fromkeys(mine, 1.0), upper=1.0)
    for need, by_block in zip(wanted, hosts, strict=True):
        for found in by_block:
            groups = _distinct(written, found)
            written.row(dict.fromkeys(groups, 1.0), lower=float(need.count))
    outcome = solve_programme(written.programme(), deadline=Deadline.after(time_limit_s), gap=0.0)
    if outcome.values is not None:
        starts, ends = (np.zeros(len(windows), dtype=np.int64) for _ in range(2))
        for (j, start, end), use in zip(chosen, outcome.values, strict=False):
            if use > 0.5:
                starts[j], ends[j] = start, end
        return starts, ends
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.state == "infeasible":
        return None
    raise HeuristicFailedError(
        f"whether the constraints can be met was not settled within {time_limit_s:g} s"
    )


def _distinct(written: Builder, found: Sequence[tuple[int, int]]) -> list[int]:
    """A variable for every group among the servers that could host a block: 1 if one of it does."""
    groups: dict[int, list[int]] = defaultdict(list)
    for group, use in found:
        groups[group].append(use)
    counted = []
    for uses in groups.values():
        counted.append(written.variable(upper=1.0))
        written.row({counted[-1]: 1.0, **dict.fromkeys(uses, -1.0)}, upper=0.0)
    return counted
