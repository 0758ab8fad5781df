"""The offline problem as arrays for the exact method (docs/exact.md).

A *visit* of class ``c`` runs ``k`` blocks at server ``j`` and costs ``hop[c, j] + block[c, j] k``
whatever comes before or after it. Server relay does not have that property; there the arrays hold
the cheapest leg into each server, so that every figure made from them is a lower bound only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.problem import FloatArray, IntArray, Problem, frozen_array
from ..demand import Demand, step_costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Costs of *all* sessions of a class together, in units of ``unit_s`` seconds.

    Memory is counted in slots of the greatest common divisor of the classes' caches (integers).

    Attributes
    ----------
    length : blocks of the model, L.
    hop : (C, n) cost of a visit of the whole class; block : (C, n) of each block it runs.
    base : (C,) cost that every chain of the class pays beside its visits (0 under client relay).
    sessions : (C,) R_c; slots : (C,) cache slots of one session on one block.
    most : (C, n) most blocks that one session alone can run at a server, 0 = none.
    free : (n,) blocks that a server can host whatever the sessions do: its cache cannot bind.
    top : (n,) most blocks worth hosting, ``max_c most``.
    order_free : whether the cost of a chain is exact (client relay) or a lower bound.
    """

    problem: Problem
    demand: tuple[Demand, ...]
    unit_s: float
    length: int
    hop: FloatArray
    block: FloatArray
    base: FloatArray
    sessions: IntArray
    slots: IntArray
    most: IntArray
    free: IntArray
    top: IntArray
    slot_bytes: int
    order_free: bool

    @property
    def dearest(self) -> float:
        """No plan costs more: every class passes the dearest servers, at most one a block."""
        hops = -np.sort(-np.where(self.most > 0, self.hop, 0.0), axis=1)[:, : self.length]
        blocks = np.where(self.most > 0, self.block, 0.0).max(axis=1, initial=0.0)
        return float((self.base + hops.sum(axis=1) + self.length * blocks).sum())

    def room(self, server: int, blocks: int) -> int:
        """Cache slots beside ``blocks`` hosted blocks."""
        problem = self.problem
        left = int(problem.memory_bytes[server]) - int(problem.block_bytes[server]) * blocks
        return left // self.slot_bytes


def data_of(problem: Problem, demand: Sequence[Demand], unit_s: float) -> Data:
    """The arrays of a problem and its demand; ``unit_s`` scales costs to figures fit for an LP."""
    costs = step_costs(problem)
    clients = [d.client for d in demand]
    scale = np.array([d.sessions * d.weight_tokens for d in demand]) / unit_s
    hop, base = costs.hop_s[clients], np.zeros(len(demand))
    if problem.network.relay == "server":
        hop, base = _cheapest_legs(problem, clients, hop)
    cache = np.array([max(1, d.cache_bytes) for d in demand], dtype=np.int64)
    slot_bytes = math.gcd(*cache.tolist())
    most = problem.memory_bytes // (problem.block_bytes + cache[:, None])
    most = np.clip(most, 0, problem.max_blocks)
    everyone = sum(max(1, d.cache_bytes) * d.sessions for d in demand)
    free = [
        max(0, min(int(memory) // (int(weights) + everyone), int(cap)))
        for memory, weights, cap in zip(
            problem.memory_bytes, problem.block_bytes, problem.max_blocks, strict=True
        )
    ]
    return Data(
        problem=problem,
        demand=tuple(demand),
        unit_s=unit_s,
        length=problem.model.num_blocks,
        hop=frozen_array(hop * scale[:, None], np.float64),
        block=frozen_array(costs.block_s[None, :] * scale[:, None], np.float64),
        base=frozen_array(base * scale, np.float64),
        sessions=frozen_array([d.sessions for d in demand], np.int64),
        slots=frozen_array(cache // slot_bytes, np.int64),
        most=frozen_array(most, np.int64),
        free=frozen_array(free, np.int64),
        top=frozen_array(most.max(axis=0), np.int64),
        slot_bytes=slot_bytes,
        order_free=problem.network.relay == "client",
    )


def _cheapest_legs(
    problem: Problem, clients: Sequence[int], hop_s: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Server relay: the cheapest leg into each server, and the cheapest way back of each class."""
    rtt = problem.network.client_rtt_s[list(clients)]
    between = problem.network.server_rtt_s + np.diag(np.full(problem.num_servers, np.inf))
    leg = np.minimum(between.min(axis=0, initial=np.inf), rtt) / 2
    return hop_s - rtt + leg, rtt.min(axis=1) / 2
