"""The offline problem as arrays for the exact method (docs/exact.md).

A *visit* of class ``c`` runs ``k`` blocks at server ``j`` and costs ``hop[c, j] + run[c, j](k)``
whatever comes before or after it. Server relay does not have that property: there a chain pays for
the way through its servers beside their visits (``legs``), or, where there are too many servers,
the arrays hold the cheapest leg into each. Where blocks differ they hold the cheapest run of so
many, and where some are much heavier than the rest, of these alone. Then every figure made from
them is a lower bound only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...chains.knapsack import LeastRuns
from ...core.constraints import Constraints
from ...core.content import FloatArray, IntArray, frozen_array
from ...core.needs import Need, needs
from ...core.workload import Demand
from ...perfmodel.cost import CostModel
from ...perfmodel.memory import (
    blocks_alone,
    blocks_within,
    heavy_blocks,
    heavy_blocks_within,
    heavy_slots_beside,
    least_block_bytes,
    slots_beside,
)
from ...perfmodel.runs import Runs
from ..allowed import pinned_spans, pins_of, reach_of
from ..task import Task
from .legs import MOST_SERVERS, Legs

#: Usable servers of a small instance, and of one where it pays to branch on where spans end.
SMALL = 20
FEW = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Costs of *all* sessions of a class together, in units of ``unit_s`` seconds.

    Memory is counted in slots of the greatest common divisor of the classes' caches on a block
    (integers); where blocks differ, on the block that keeps least.

    Attributes
    ----------
    counts : (blocks of the model,) which of them are counted: all, or those that are heavy.
    length : how many are, L.
    hop : (C, n) cost of a visit of the whole class; run : of the blocks it runs.
    base : (C,) cost that every chain of the class pays beside its visits (0 under client relay).
    sessions : (C,) R_c; slots : (C,) cache slots of one session on one block.
    most : (C, n) most blocks that one session alone can run at a server, 0 = none.
    free : (n,) blocks that a server can host whatever the sessions do: its cache cannot bind.
    top : (n,) most blocks worth hosting, ``max_c most``.
    rooms : (n, L + 1) cache slots beside 0..L hosted blocks, of a pinned server beside its own.
    reach : (n, L + 1) most blocks of a span that ends at each block, by size, pins and bans.
    pinned : start and end of the spans of pinned servers.
    needs : demands for hosts beside one for every block; ``serves`` : (n,) most blocks of a span
        that counts as a host.
    dearest : no plan costs more.
    legs : ways through sets of servers, which chains pay for beside their visits; None = hops are
        all that they pay.
    positional : whether programmes with positions can be written for it.
    """

    cost: CostModel
    demand: tuple[Demand, ...]
    unit_s: float
    counts: NDArray[np.bool_]
    length: int
    hop: FloatArray
    run: LeastRuns
    base: FloatArray
    sessions: IntArray
    slots: IntArray
    most: IntArray
    free: IntArray
    top: IntArray
    rooms: IntArray
    reach: IntArray
    pinned: dict[int, tuple[int, int]]
    needs: tuple[Need, ...]
    serves: IntArray
    dearest: float
    legs: Legs | None
    positional: bool

    @property
    def anywhere(self) -> bool:
        """Whether every span may lie anywhere."""
        return bool((self.reach == np.minimum(np.arange(self.length + 1), self.top[:, None])).all())

    @property
    def is_free(self) -> bool:
        """Whether nothing but chains is asked of who hosts what, so that servers may change places
        as far as chains do."""
        return not self.pinned and not self.needs and self.anywhere

    @property
    def is_small(self) -> bool:
        """Whether there are so few servers that a proof may come to an end."""
        return int((self.top > 0).sum()) <= SMALL

    @property
    def splits_ends(self) -> bool:
        """Whether there are few enough servers, in any order that chains like, to branch on where
        their spans end."""
        return int((self.top > 0).sum()) <= FEW and self.positional and self.legs is None

    def chain_cost(self, row: int, visits: Sequence[tuple[int, int]]) -> float:
        """Cost of a chain of (server, blocks) for a whole class."""
        cost = float(self.base[row])
        for j, k in sorted(visits):
            cost += float(self.hop[row, j] + self.run.table(j)[row, k])
        if self.legs is not None:
            cost += self.legs.of_chain(row, [j for j, _ in visits])
        return cost

    def visits(self, server: int, width: int) -> FloatArray:
        """(C, width) cost of visits of 1 to ``width`` blocks at a server."""
        found: FloatArray = self.hop[:, server, None] + self.run.table(server)[:, 1 : width + 1]
        return found

    def room(self, server: int, blocks: int) -> int:
        """Cache slots beside ``blocks`` hosted blocks."""
        return int(self.rooms[server, blocks])


def data_of(task: Task, unit_s: float) -> Data:
    """The arrays of a task; ``unit_s`` scales costs to figures fit for an LP."""
    cost, demand = task.cost, task.demand
    clients = [d.client for d in demand]
    scale = np.array([d.sessions * d.weight_tokens for d in demand]) / unit_s
    hop, base = cost.relaying.cheapest_s(cost.step_hop_s[clients], clients)
    tokens = [max(1, d.cache_tokens) for d in demand]
    least = np.array([least_block_bytes(cost, t) for t in tokens], dtype=np.int64)
    slot_bytes = math.gcd(*least.tolist())
    most = np.array([blocks_alone(cost, t) for t in tokens])
    everyone = [(d.sessions, t) for d, t in zip(demand, tokens, strict=True)]
    memory, heavy = task.problem.memory_bytes, heavy_blocks(cost)
    free, rooms = blocks_within(cost, memory, everyone), slots_beside(cost, slot_bytes)
    every = [cost.planned(c).step_run_s for c in clients]
    runs = every[0] if cost.drafts_alike else Runs.stacked(every)
    dearest_s = _dearest_hops_s(cost, clients, most > 0) + runs.at_most(most > 0)
    if heavy is not None:
        # The others add what they take at least; who hosts them is for the search to find.
        base = base + runs.outside(heavy, most.max(axis=0) > 0)
        runs, rooms = runs.within(heavy), heavy_slots_beside(cost, heavy, slot_bytes)
        free = heavy_blocks_within(cost, heavy, memory, everyone)
        most = np.array([heavy_blocks_within(cost, heavy, memory, [(1, t)]) for t in tokens])
    top, asked = most.max(axis=0), task.problem.planning.constraints
    wanted, serves = _needs(cost), blocks_alone(cost, task.problem.planning.session_tokens)
    pinned = pins_of(asked)
    if heavy is not None:  # bounds do without demands there
        asked, wanted, pinned = Constraints(), (), {}
    if wanted:
        top = np.maximum(top, serves)
    reach = reach_of(asked, top, runs.length)
    top = reach.max(axis=1)
    most, free, rooms = np.minimum(most, top), np.minimum(free, top), rooms.copy()
    together = int((least // slot_bytes) @ [d.sessions for d in demand])
    for j, (start, end) in pinned.items():
        # Other levels than its own leave no more room than that one.
        rooms[j] = rooms[j, end - start]
        free[j] = min(int(top[j]), max(int(rooms[j, 0]), 0) // together)
    legs, usable = None, np.flatnonzero(top)
    if cost.relaying.pairs and heavy is None and len(usable) <= MOST_SERVERS:
        # With heavy blocks alone, a way would have to count servers that run none of them.
        legs = Legs.of(cost, clients, scale, usable)
        hop, base = np.zeros_like(hop), np.zeros_like(base)
    return Data(
        cost=cost,
        demand=demand,
        unit_s=unit_s,
        counts=np.ones(cost.num_blocks, dtype=bool) if heavy is None else heavy,
        length=runs.length,
        hop=frozen_array(hop * scale[:, None], np.float64),
        run=LeastRuns(runs.scaled(scale)),
        base=frozen_array(base * scale, np.float64),
        sessions=frozen_array([d.sessions for d in demand], np.int64),
        slots=frozen_array(least // slot_bytes, np.int64),
        most=frozen_array(most, np.int64),
        free=frozen_array(free, np.int64),
        top=frozen_array(top, np.int64),
        rooms=rooms,
        reach=reach,
        pinned=pinned_spans(asked),
        needs=wanted,
        serves=serves,
        dearest=float((scale * dearest_s).sum()),
        legs=legs,
        positional=cost.alike and (legs is not None or not cost.relaying.pairs),
    )


def _needs(cost: CostModel) -> tuple[Need, ...]:
    """Demands beside one host for every block, which chains see to."""
    return tuple(n for n in needs(cost.problem) if n.count > 1 or (n.group < 0).any())


def _dearest_hops_s(
    cost: CostModel, clients: Sequence[int], usable: NDArray[np.bool_]
) -> FloatArray:
    """(C,) no chain of one session takes longer beside its blocks: the dearest hops, at most one a
    block."""
    relay, found = cost.relaying, []
    for client, servers in zip(clients, usable, strict=True):
        paid, before = cost.planned(client), range(-1, len(servers)) if relay.pairs else (-1,)
        into = np.max([relay.into_s(paid, i) for i in before], axis=0)
        back = relay.back_s(paid)
        last = 0.0 if back is None else float(back[servers].max(initial=0.0))
        found.append(last - np.sort(-into[servers])[: cost.num_blocks].sum())
    return np.array(found)
