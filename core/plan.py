"""Results: placements, routes, certificates, plans. Never written back into the problem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .problem import BlockSpan, IntArray, Problem, frozen_array

Status = Literal["optimal", "feasible", "infeasible", "limit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One contiguous span per server.

    Attributes
    ----------
    start, end : (n,) blocks ``[start, end)`` of each server; an idle server has start = end = 0.
    cache_bytes : (n,) attention-cache pool that the server offers to sessions, in total over its
        blocks. It is at most ``memory - block_bytes * blocks``.
    order : rows in the order the placer took them (CG-BP, PETALS), empty if it has none.
    """

    start: IntArray
    end: IntArray
    cache_bytes: IntArray
    order: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("start", "end", "cache_bytes"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.int64))

    @property
    def num_blocks(self) -> IntArray:
        """(n,) blocks hosted by each server, m_j."""
        return self.end - self.start

    def span(self, server: int) -> BlockSpan | None:
        """The blocks of one server, None when idle."""
        start, end = int(self.start[server]), int(self.end[server])
        return BlockSpan(start=start, end=end) if end > start else None

    def coverage(self, num_blocks: int) -> IntArray:
        """(num_blocks,) number of servers that host each block."""
        delta = np.zeros(num_blocks + 1, dtype=np.int64)
        placed = self.end > self.start
        np.add.at(delta, self.start[placed], 1)
        np.add.at(delta, self.end[placed], -1)
        covered: IntArray = np.cumsum(delta[:num_blocks])
        return covered

    def hosts(self, num_blocks: int) -> IntArray:
        """(n, num_blocks) 1 where a server hosts a block."""
        blocks = np.arange(num_blocks)
        held = (self.start[:, None] <= blocks) & (blocks < self.end[:, None])
        return held.astype(np.int64)

    @classmethod
    def of(
        cls,
        problem: Problem,
        spans: Sequence[tuple[int, int]],
        *,
        cache_bytes: Iterable[int] | None = None,
        order: Sequence[int] = (),
    ) -> Placement:
        """Placement of (start, end) pairs; the pool defaults to all memory the weights leave."""
        start = np.array([s for s, _ in spans], dtype=np.int64)
        end = np.array([e for _, e in spans], dtype=np.int64)
        idle = end <= start
        start[idle] = end[idle] = 0
        left = problem.memory_bytes - problem.block_bytes * (end - start)
        pool = left if cache_bytes is None else np.array(list(cache_bytes), dtype=np.int64)
        return cls(
            start=start,
            end=end,
            cache_bytes=np.where(idle, 0, np.maximum(pool, 0)),
            order=tuple(int(j) for j in order),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """Blocks ``[start, end)`` run at one server."""

    server: int
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A chain of hops that tiles ``[0, num_blocks)`` in order."""

    hops: tuple[Hop, ...]

    @property
    def servers(self) -> tuple[int, ...]:
        """Server rows in order."""
        return tuple(h.server for h in self.hops)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRoute:
    """``sessions`` concurrent requests of one client share this chain."""

    client: int
    sessions: int
    route: Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What is proven about the plan.

    ``objective`` and ``bound`` are seconds per output token summed over the planned sessions
    unless ``meaning`` says otherwise; ``bound`` <= optimum <= ``objective``; None = not known.
    """

    status: Status
    objective: float | None = None
    bound: float | None = None
    method: str = ""
    meaning: str = ""

    @property
    def interrupted(self) -> bool:
        """The search was stopped by Ctrl-C; this is the best plan until then."""
        return "interrupted" in self.method

    @property
    def gap(self) -> float | None:
        """``(objective - bound) / objective``, None when either is unknown."""
        if self.objective is None or self.bound is None:
            return None
        return max(0.0, (self.objective - self.bound) / self.objective) if self.objective else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """Predicted figures of an unloaded request of one client on its planned route."""

    client: int
    ttft_s: float
    tpot_s: float
    response_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One plan that was compared with others before one was chosen.

    Attributes
    ----------
    placement, router : how its blocks were placed, and its router.
    bound : closed-form figure by which it was ranked before any simulation, or None.
    figure : what it was chosen by, in the unit of the objective; None when it was not evaluated.
    requests : requests simulated for ``figure``; 0 = computed.
    verdict : why it was dropped, or that it was chosen.
    """

    placement: str
    router: str
    bound: float | None
    figure: float | None
    requests: int
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A placement with routes, predictions and proof, ready to be written to a file.

    Attributes
    ----------
    router : name of the online router that the placement was made for.
    candidates : what the chosen plan was compared with, in order of the figure; may be empty.
    """

    method: str
    placement: Placement
    routes: tuple[PlannedRoute, ...]
    predicted: tuple[Predicted, ...]
    certificate: Certificate
    sessions: int
    seed: int = 0
    notes: tuple[str, ...] = field(default=())
    router: str = "ws-rr"
    candidates: tuple[Candidate, ...] = ()
