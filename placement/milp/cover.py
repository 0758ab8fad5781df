"""Does any choice of spans meet the demands on hosts? An exact covering programme.

One binary per server and span, at most one span per server; per demand and block enough groups
of servers. Only the largest spans of a server need be looked at: more blocks never hurt coverage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pulp

from ...core.constraints import Need
from ...core.content import IntArray
from ...core.errors import HeuristicFailedError


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
    prob = pulp.LpProblem("cover", pulp.LpMinimize)
    hosts: list[list[list[tuple[int, pulp.LpVariable]]]] = [
        [[] for _ in range(length)] for _ in wanted
    ]
    chosen: list[tuple[int, int, int, pulp.LpVariable]] = []
    prob += pulp.lpSum([])
    for j, spans in enumerate(windows):
        mine = []
        for start, end in spans:
            use = prob.add_variable(f"z_{j}_{start}_{end}", cat="Binary")
            mine.append(use)
            chosen.append((j, start, end, use))
            for need, by_block in zip(wanted, hosts, strict=True):
                if need.group[j] >= 0:
                    for block in range(start, end):
                        by_block[block].append((int(need.group[j]), use))
        if mine:
            prob += pulp.lpSum(mine) <= 1
    for d, (need, by_block) in enumerate(zip(wanted, hosts, strict=True)):
        for block, found in enumerate(by_block):
            prob += _distinct(prob, f"{d}_{block}", found) >= need.count
    status = prob.solve(pulp.HiGHS(msg=False, timeLimit=time_limit_s, threads=1, random_seed=0))
    if prob.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        starts, ends = (np.zeros(len(windows), dtype=np.int64) for _ in range(2))
        for j, start, end, use in chosen:
            if use.value() > 0.5:
                starts[j], ends[j] = start, end
        return starts, ends
    if status == pulp.LpStatusInfeasible:
        return None
    raise HeuristicFailedError(
        f"whether the constraints can be met was not settled within {time_limit_s:g} s"
    )


def _distinct(
    prob: pulp.LpProblem, name: str, found: Sequence[tuple[int, pulp.LpVariable]]
) -> pulp.LpAffineExpression:
    """Number of different groups among the servers that host a block."""
    groups: dict[int, list[pulp.LpVariable]] = defaultdict(list)
    for group, use in found:
        groups[group].append(use)
    counted = []
    for group, uses in groups.items():
        present = prob.add_variable(f"g_{name}_{group}", lowBound=0, upBound=1)
        prob += present <= pulp.lpSum(uses)
        counted.append(present)
    return pulp.lpSum(counted)
