"""What the search works on: the instance as arrays, and a set of batches with their servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...core.content import FloatArray, IntArray
from ...core.plan import Hop, Placement, PlannedRoute, Route
from ...core.workload import Demand
from ...perfmodel.cost import CostModel
from ...perfmodel.fits import Fits, Used
from ...perfmodel.hops import HopCost
from ...perfmodel.plain import plain
from ...perfmodel.runs import Runs
from ..allowed import pinned_spans, reach_of
from .layers import Visiting

#: A visit: server, block at which the batch enters, the span's end at which it leaves.
Visit = tuple[int, int, int]


class Ways(NamedTuple):
    """Seconds of a step's way: ``into`` (n + 1, n) each server after each other one and, last, the
    client; ``known`` (n + 1,) after which of them."""

    into: FloatArray
    known: NDArray[np.bool_]


class Batch(NamedTuple):
    """Sessions of one class (a row of the demand) that share a chain; ``cost_s`` is for all."""

    row: int
    sessions: int
    chain: tuple[Visit, ...]
    cost_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """The offline problem in server order; memory in bytes, times in seconds.

    Attributes
    ----------
    hop_s : (classes, n) cost of a hop of each class; run_s : (classes,) of the blocks it runs.
    weight, tokens : (classes,) weight of one session's time; cache tokens that it reserves.
    alone_s : (classes,) lower bound on one session's step time.
    paid : (classes,) what a session of each class pays.
    reach : (n, L + 1) most blocks of a span that ends at each block; pinned servers have theirs
        alone. ``pinned`` : start and end of those.
    visiting : (classes,) what visits cost and may be; fits : what servers have room for.
    """

    cost: CostModel
    demand: tuple[Demand, ...]
    hop_s: FloatArray
    run_s: tuple[Runs, ...]
    weight: tuple[float, ...]
    tokens: tuple[int, ...]
    alone_s: FloatArray
    paid: tuple[HopCost, ...]
    reach: IntArray
    pinned: dict[int, tuple[int, int]]
    visiting: tuple[Visiting, ...]
    fits: Fits
    ranked: dict[int, IntArray] = field(default_factory=dict, repr=False)
    gone: dict[int, Ways] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, cost: CostModel, demand: Sequence[Demand], alone_s: FloatArray) -> Instance:
        """The arrays of a demand."""
        paid = tuple(cost.planned(d.client) for d in demand)
        asked, length = cost.problem.planning.constraints, cost.num_blocks
        most = np.minimum(cost.problem.max_blocks, length)
        reach = np.array(reach_of(asked, most, length))
        return cls(
            cost=cost,
            demand=tuple(demand),
            hop_s=np.array([p.step_hop_s for p in paid]),
            run_s=tuple(p.step_run_s for p in paid),
            weight=tuple(d.weight_tokens for d in demand),
            tokens=tuple(max(1, d.cache_tokens) for d in demand),
            alone_s=alone_s,
            paid=paid,
            reach=reach,
            pinned=pinned_spans(asked),
            visiting=tuple(
                Visiting(np.array(p.step_hop_s), plain(p.step_run_s, np.float64), reach)
                for p in paid
            ),
            fits=Fits(cost, reach),
        )

    @property
    def length(self) -> int:
        """Blocks of the model, L."""
        return self.cost.num_blocks

    def ways(self, row: int) -> Ways:
        """What the ways of a class cost, as far as they are known."""
        found = self.gone.get(row)
        if found is None:
            n = self.hop_s.shape[1]
            found = self.gone[row] = Ways(np.zeros((n + 1, n)), np.zeros(n + 1, dtype=np.bool_))
        return found

    def chain_s(self, row: int, chain: Sequence[Visit]) -> float:
        """Step time of one session of a class on a chain."""
        return self.cost.relaying.step_s(self.paid[row], chain)

    def batch(self, row: int, sessions: int, chain: Sequence[Visit]) -> Batch:
        """A batch with its cost."""
        cost = sessions * self.weight[row] * self.chain_s(row, chain)
        return Batch(row, sessions, tuple(chain), cost)


class State:
    """Batches, the sessions without a chain, and what the batches make every server do.

    A server in use has a fixed ``end``; it hosts as many blocks before it as its longest visit
    runs. ``end`` = 0 marks a free server.
    """

    __slots__ = ("batches", "blocks", "cache", "end", "instance", "pending")

    def __init__(self, instance: Instance) -> None:
        n = instance.cost.problem.num_servers
        self.instance = instance
        self.end = np.zeros(n, dtype=np.int64)
        self.blocks = np.zeros(n, dtype=np.int64)
        self.cache = np.zeros(n, dtype=np.int64)
        for j in instance.pinned:
            self._leave(j)
        self.batches: list[Batch] = []
        self.pending: list[tuple[int, int]] = [
            (row, d.sessions) for row, d in enumerate(instance.demand)
        ]

    def copy(self) -> State:
        """An independent copy."""
        other = State.__new__(State)
        other.instance = self.instance
        other.end, other.blocks = self.end.copy(), self.blocks.copy()
        other.cache = self.cache.copy()
        other.batches, other.pending = list(self.batches), list(self.pending)
        return other

    @property
    def used(self) -> Used:
        """What the batches make every server do."""
        return Used(self.end, self.blocks, self.cache)

    @property
    def cost_s(self) -> float:
        """Objective of the batches; sessions without a chain cost ten times their bound."""
        each, weight = self.instance.alone_s, self.instance.weight
        missing = sum(count * weight[row] * each[row] for row, count in self.pending)
        return sum(b.cost_s for b in self.batches) + 10.0 * float(missing)

    def room(self, row: int, chain: Sequence[Visit]) -> int:
        """How many sessions of a class fit on a chain beside all others."""
        instance = self.instance
        return instance.fits.sessions(self.used, instance.tokens[row], chain)

    def add(self, batch: Batch) -> None:
        """Put a batch on its chain, which must fit."""
        held, tokens = self.instance.cost.cache_bytes, self.instance.tokens[batch.row]
        for j, b, e in batch.chain:
            self.end[j] = e
            self.blocks[j] = max(self.blocks[j], e - b)
            self.cache[j] += batch.sessions * held(tokens, b, e)
        self.batches.append(batch)

    def take_out(self, sessions: dict[int, int]) -> None:
        """Move ``sessions[i]`` sessions of batch ``i`` to the pending ones."""
        kept, touched = [], set()
        for i, batch in enumerate(self.batches):
            count = sessions.get(i, 0)
            if not count:
                kept.append(batch)
                continue
            tokens = self.instance.tokens[batch.row] * count
            for j, b, e in batch.chain:
                self.cache[j] -= self.instance.cost.cache_bytes(tokens, b, e)
                touched.add(j)
            self.pending.append((batch.row, count))
            if count < batch.sessions:
                kept.append(self.instance.batch(batch.row, batch.sessions - count, batch.chain))
        self.batches = kept
        for j in touched:
            self.blocks[j] = 0
        for batch in kept:
            for j, b, e in batch.chain:
                if j in touched and e - b > self.blocks[j]:
                    self.blocks[j] = e - b
        for j in touched:
            if not self.blocks[j] or j in self.instance.pinned:
                self._leave(j)

    def _leave(self, server: int) -> None:
        """What a server hosts that no batch needs."""
        start, end = self.instance.pinned.get(server, (0, 0))
        self.end[server], self.blocks[server] = end, end - start

    def plan(self) -> tuple[Placement, tuple[PlannedRoute, ...]]:
        """Placement and routes; like batches of a client counted together."""
        spans = [(int(e - m), int(e)) for e, m in zip(self.end, self.blocks, strict=True)]
        count: Counter[tuple[int, tuple[Visit, ...]]] = Counter()
        for batch in self.batches:
            count[batch.row, batch.chain] += batch.sessions
        routes = tuple(
            PlannedRoute(
                client=self.instance.demand[row].client, sessions=total, route=route_of(chain)
            )
            for (row, chain), total in sorted(count.items())
        )
        return self.instance.cost.placed(spans), routes


def route_of(chain: Sequence[Visit]) -> Route:
    """The chain as a route."""
    return Route(hops=tuple(Hop(server=j, start=b, end=e) for j, b, e in chain))
