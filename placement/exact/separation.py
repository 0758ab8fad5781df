"""Rows that the master's last solution violates, and servers whose levels have to count."""

from __future__ import annotations

from collections import defaultdict

from .levels import Row
from .master import Master


def separate(master: Master) -> int:
    """Add violated rows, watch servers whose load does not fit; how many of either."""
    visits: dict[tuple[int, int], list[tuple[int, int, float]]] = defaultdict(list)
    for column, share in master.used():
        for j, k, level in column.hops:
            visits[j, level].append((column.row, k, share))
    added = 0
    for (server, level), load in visits.items():
        if level < 0:
            added += _watch_if_full(master, server, load)
        else:
            added += _cut(master, server, level, load)
    return added


def _watch_if_full(master: Master, server: int, load: list[tuple[int, int, float]]) -> int:
    data = master.data
    hosted = max(k for _, k, _ in load)
    if hosted <= data.free[server]:
        return 0
    held = sum(float(data.sessions[c] * data.slots[c]) * k * x for c, k, x in load)
    if held <= data.room(server, hosted) * (1 + 1e-9):
        return 0
    master.watch(server)
    return 1


def _cut(master: Master, server: int, level: int, load: list[tuple[int, int, float]]) -> int:
    levels, share = master.levels[server], float(master.level_shares(server)[level])
    added = 0
    total: dict[int, float] = defaultdict(float)
    for c, _, x in load:
        total[c] += x
    for c, x in total.items():
        row = Row(server, level, "class", c)
        if x > share + 1e-6 and row not in master.rows:
            master.add_row(row)
            added += 1
    if levels.blocks[level] <= master.data.free[server]:
        return added
    room, worst = levels.rooms[level], (1e-4, 0)
    for weight in {int(levels.weight[c, k - 1]) for c, k, _ in load}:
        count = sum(
            float(levels.sessions[c]) * x for c, k, x in load if levels.weight[c, k - 1] >= weight
        )
        excess = count / max(room // weight, 1) - share
        if excess > worst[0] and Row(server, level, "rounding", weight) not in master.rows:
            worst = excess, weight
    if worst[1]:
        master.add_row(Row(server, level, "rounding", worst[1]))
        added += 1
    return added
