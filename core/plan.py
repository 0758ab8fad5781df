"""Results: placements, routes, certificates, plans. Never written back into the problem."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import names
from .content import ByContent, IntArray, frozen_array
from .drafting import Use
from .names import Admission, Status
from .objective import Objective
from .problem import Problem, Span


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement(ByContent):
    """One contiguous span per server.

    Attributes
    ----------
    start, end : (n,) blocks ``[start, end)`` of each server; an idle server has start = end = 0.
    cache_bytes : (n,) attention-cache pool that the server offers to sessions, in total over its
        blocks. It is at most the memory that the weights leave.
    order : rows in the order the placer took them (CG-BP, PETALS), empty if it has none.
    precision : (n,) at which each server hosts its blocks; empty = as the problem says.
    wire : (n,) by what states go over each server's links; empty = as the problem says.
    adapters : (n,) those that each server loads, by id; empty = as the problem says.
    """

    start: IntArray
    end: IntArray
    cache_bytes: IntArray
    order: tuple[int, ...] = ()
    precision: tuple[str, ...] = ()
    wire: tuple[str, ...] = ()
    adapters: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        for name in ("start", "end", "cache_bytes"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.int64))

    @property
    def settles(self) -> bool:
        """Whether it says how servers host, or what they load."""
        return bool(self.precision or self.wire or self.adapters)

    def settled(self, problem: Problem) -> Problem:
        """The problem where servers host so and load these adapters."""
        hosted = problem.at_precisions(self.precision).with_wires(self.wire)
        return hosted.with_adapters(self.adapters)

    def hosted(self, server: int) -> str:
        """What was chosen for a server: its precision, by what its states go; may be empty."""
        words = [f"at {self.precision[server]}"] if self.precision else []
        return ", ".join([*words, f"wire {self.wire[server]}"] if self.wire else words)

    @property
    def num_blocks(self) -> IntArray:
        """(n,) blocks hosted by each server, m_j."""
        return self.end - self.start

    def span(self, server: int) -> Span | None:
        """The blocks of one server, None when idle."""
        start, end = int(self.start[server]), int(self.end[server])
        return Span(start=start, end=end) if end > start else None

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

    def __repr__(self) -> str:
        used = int((self.end > self.start).sum())
        return (
            f"Placement({int(self.num_blocks.sum())} blocks on {used} of {len(self.end)} servers)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """Blocks ``[start, end)`` run at one server."""

    server: int
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        return names.blocks(self.start, self.end)


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
class Throughput:
    """What a plan was seen to serve in simulation while everything was full.

    Attributes
    ----------
    decode_per_s, prompt_per_s : tokens; half_width_per_s : of the 95 % interval of the first.
    requests_per_s : that many answers are made of the tokens.
    token_s, first_token_s : between two tokens, and from the start of a session to its first.
    sessions : in flight on average. window_s : how long it was looked at.
    part_loads : (share of requests_per_s that arrives, seconds per token, seconds until the first
        token) below it.
    """

    decode_per_s: float
    prompt_per_s: float
    half_width_per_s: float
    requests_per_s: float
    token_s: float
    first_token_s: float
    sessions: float
    window_s: float
    part_loads: tuple[tuple[float, float, float], ...] = ()


#: A plan is called optimal when no more than this, relative, is left to its bound.
OPTIMAL_GAP = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The simulated requests that a response time was measured on: anybody can repeat it.

    Attributes
    ----------
    seed : of the workload's draw.
    requests : how many were drawn; the first tenth does not count.
    """

    seed: int
    requests: int
    admission: Admission


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What is proven about the plan, for the goal that was asked for.

    Attributes
    ----------
    objective : the goal, the value reached and the bound that no plan passes.
    proof : what gave the bound, in a few words; empty without one.
    interrupted : the search was stopped by Ctrl-C; this is the best plan until then.
    trial : the requests behind a simulated value; None for values that follow from the routes.
    """

    objective: Objective
    proof: str = ""
    interrupted: bool = False
    trial: Trial | None = None

    @property
    def gap(self) -> float | None:
        """Relative gap of the objective."""
        return self.objective.gap

    @property
    def status(self) -> Status:
        """``optimal`` when, and only when, the bound proves it."""
        return "optimal" if self.gap is not None and self.gap <= OPTIMAL_GAP else "feasible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """Predicted figures of an unloaded request of one client on its planned route.

    Attributes
    ----------
    harm : what the precisions of the route cost in accuracy (``core.accuracy``), the most of the
        client's routes; None where nobody asks.
    """

    client: int
    ttft_s: float
    tpot_s: float
    response_s: float
    harm: float | None = None


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
    sessions : concurrent sessions R that it was made for.
    unrouted : how many of them find no room beside the others and would wait.
    candidates : what the chosen plan was compared with, in order of the figure; may be empty.
    drafts : how each client drafts, in client order; empty = as the problem says.
    throughput : what it was seen to serve, where that was asked for; files do not give it back.
    remarks : what was noticed when it was read from a file.
    """

    method: str
    placement: Placement
    routes: tuple[PlannedRoute, ...]
    predicted: tuple[Predicted, ...]
    certificate: Certificate
    sessions: int
    unrouted: int = 0
    seed: int = 0
    notes: tuple[str, ...] = ()
    router: str = "ws-rr"
    candidates: tuple[Candidate, ...] = ()
    drafts: tuple[Use, ...] = ()
    throughput: Throughput | None = field(default=None, compare=False)
    remarks: tuple[str, ...] = field(default=(), compare=False)

    def settled(self, problem: Problem) -> Problem:
        """The problem where servers host, and clients draft, as the plan says."""
        return self.placement.settled(problem).with_drafts(self.drafts)

    def __repr__(self) -> str:
        reached = self.certificate.objective
        value = "" if reached.value is None else f", {reached.value:.4g} {reached.goal.unit}"
        return (
            f"{type(self).__name__}({self.method} + {self.router}: {self.placement!r}, "
            f"{len(self.routes)} routes, "
            f"{self.sessions} sessions{value})"
        )
