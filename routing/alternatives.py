"""Why not another server? The cheapest chain through each server, beside the best chain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.plan import Hop, Placement, Route
from ..core.problem import FloatArray, Problem
from ..perfmodel.latency import HopCost, route_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """The cheapest chain that uses ``server``; ``route`` is None when no chain does."""

    server: int
    route: Route | None
    step_s: float


def cheapest_chains_through(
    problem: Problem, placement: Placement, client: int, cost: HopCost
) -> tuple[Alternative, ...]:
    """For every placed server the chain with the least decode step that passes through it.

    Forward and backward dynamic programmes over block positions, O(n L). Exact under client
    relay; under server relay the chains are found by the client-relay cost and then timed as
    they really run, so a listed chain exists but may not be the cheapest.

    Returns
    -------
    One alternative per placed server, cheapest first (ties: lowest server row).
    """
    length = problem.model.num_blocks
    hop, block = cost.step_hop_s, cost.step_block_s
    placed = np.flatnonzero(placement.num_blocks)
    spans = [(int(j), int(placement.start[j]), int(placement.end[j])) for j in placed]
    to, came_by = _forward(spans, length, hop, block)
    onward, goes_by = _backward(spans, length, hop, block)
    found = []
    for j, start, end in spans:
        entries = np.arange(start, end)
        total = to[entries] + hop[j] + block[j] * (end - entries) + onward[end]
        entry = int(entries[np.argmin(total)])
        route = None
        step = float("inf")
        if np.isfinite(total.min()):
            before = _walk_back(came_by, entry)
            after = _walk_on(goes_by, end, length)
            route = Route(hops=(*before, Hop(server=j, start=entry, end=end), *after))
            step = route_time(problem, client, route, 1, cost.steps + 1, cost=cost).tpot_s
        found.append(Alternative(server=j, route=route, step_s=step))
    return tuple(sorted(found, key=lambda a: (a.step_s, a.server)))


Spans = list[tuple[int, int, int]]
Step = tuple[int, int] | None  # (server, other position)


def _forward(
    spans: Spans, length: int, hop: FloatArray, block: FloatArray
) -> tuple[FloatArray, list[Step]]:
    """(L + 1,) least cost to have run the first p blocks, and the last hop of that chain."""
    best = np.full(length + 1, np.inf)
    best[0] = 0.0
    by: list[Step] = [None] * (length + 1)
    for j, start, end in sorted(spans, key=lambda s: (s[2], s[0])):
        entries = np.arange(start, end)
        total = best[entries] + hop[j] + block[j] * (end - entries)
        i = int(np.argmin(total))
        if total[i] < best[end]:
            best[end], by[end] = total[i], (j, int(entries[i]))
    return best, by


def _backward(
    spans: Spans, length: int, hop: FloatArray, block: FloatArray
) -> tuple[FloatArray, list[Step]]:
    """(L + 1,) least cost from position p to the end, and the first hop of that chain."""
    best = np.full(length + 1, np.inf)
    best[length] = 0.0
    by: list[Step] = [None] * (length + 1)
    # Descending ends: everything after ``end`` is final when the hop that reaches it is tried.
    for j, start, end in sorted(spans, key=lambda s: -s[2]):
        if not np.isfinite(best[end]):
            continue
        for position in range(start, end):
            total = hop[j] + block[j] * (end - position) + best[end]
            if total < best[position]:
                best[position], by[position] = total, (j, end)
    return best, by


def _walk_back(by: list[Step], position: int) -> list[Hop]:
    hops: list[Hop] = []
    while position:
        step = by[position]
        assert step is not None  # a finite cost has a chain behind it
        hops.append(Hop(server=step[0], start=step[1], end=position))
        position = step[1]
    return hops[::-1]


def _walk_on(by: list[Step], position: int, length: int) -> list[Hop]:
    hops = []
    while position < length:
        step = by[position]
        assert step is not None
        hops.append(Hop(server=step[0], start=position, end=step[1]))
        position = step[1]
    return hops
