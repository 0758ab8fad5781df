"""What the last solution of the relaxation says of chains and levels."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from ...core.content import FloatArray
from .master import EPS, Master
from .pricing import Visits


def carried(master: Master) -> list[tuple[Visits, float]]:
    """Chains of the last solution, and how many sessions each carries."""
    return [
        (
            tuple((j, k) for j, k, _ in column.hops),
            share * float(master.data.sessions[column.row]),
        )
        for column, share in master.used()
    ]


def runs(master: Master) -> FloatArray:
    """(n, L + 1) share of the sessions that run 1 to L blocks at each server."""
    data = master.data
    found = np.zeros((len(data.top), data.length + 1))
    for visits, sessions in carried(master):
        for j, k in visits:
            found[j, k] += sessions / float(data.sessions.sum())
    return found


def most_passed(master: Master) -> int:
    """The server that most sessions pass in the last solution."""
    return int(runs(master).sum(axis=1).argmax())


def servers_in_use(master: Master) -> set[int]:
    """Servers on the chains of the last solution."""
    return {j for column, _ in master.used() for j, _, _ in column.hops}


def best_chains(master: Master, most: int) -> list[tuple[int, Visits]]:
    """The chains of least reduced cost of every class, ``most`` for each."""
    ranked: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for number, column in master.columns.items():
        if number < len(master.reduced) and number not in master.closed:
            ranked[column.row].append((float(master.reduced[number]), number))
    return [
        (c, tuple((j, k) for j, k, _ in master.columns[number].hops))
        for c, found in ranked.items()
        for _, number in sorted(found)[:most]
    ]


def mean_levels(master: Master) -> dict[int, tuple[float, float]]:
    """Mean and spread of the blocks of every watched server that is in use."""
    found = {}
    for server, levels in master.levels.items():
        z = master.level_shares(server)
        total = z.sum()
        if total > EPS:
            mean = float(z @ levels.blocks) / total
            found[server] = mean, float(z @ np.abs(levels.blocks - mean)) / total
    return found


def drawn_levels(master: Master, rng: np.random.Generator) -> dict[int, int]:
    """Most blocks for every watched server in use, drawn by the shares of its levels; now and
    then one more."""
    drawn = {}
    for server, levels in master.levels.items():
        z = np.maximum(master.level_shares(server), 0.0)
        if z.sum() > EPS:
            level = rng.choice(levels.blocks, p=z / z.sum())
            drawn[server] = int(level) + int(rng.integers(2))
    return drawn
