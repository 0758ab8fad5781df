"""What an operator asks of a placement beside memory and coverage, and how much it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .plan import Placement
    from .problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Servers that may be lost together: a server or a region, by its ``name``."""

    name: str
    servers: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Blocks ``[start, end)`` of the server in row ``server``; start = end = 0 means idle."""

    server: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """Demands on a placement; the default demands nothing.

    Attributes
    ----------
    copies : every block on at least this many servers.
    regions : every block in at least this many regions.
    survive : losses after each of which all blocks are still hosted.
    headroom_frac : share of every server's memory that planners must leave free, in [0, 1).
    pinned : servers that host exactly these blocks (a server that may not move is pinned to what
        it hosts now).
    forbidden : blocks that a server must not host.
    """

    copies: int = 1
    regions: int = 1
    survive: tuple[Loss, ...] = ()
    headroom_frac: float = 0.0
    pinned: tuple[Span, ...] = ()
    forbidden: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        if self.copies < 1 or self.regions < 1:
            raise ValueError("copies and regions must be at least 1")
        if not 0 <= self.headroom_frac < 1:
            raise ValueError(f"headroom_frac must be in [0, 1), got {self.headroom_frac}")

    @property
    def shapes_placement(self) -> bool:
        """Whether they ask for more than head-room, which planners keep by themselves."""
        return bool(
            self.copies > 1 or self.regions > 1 or self.survive or self.pinned or self.forbidden
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Every block must be hosted by servers of at least ``count`` different groups.

    Attributes
    ----------
    what : the demand in words.
    group : (n,) group of each server, -1 = does not count.
    """

    what: str
    group: NDArray[np.int64]
    count: int

    def missing(
        self, start: NDArray[np.int64], end: NDArray[np.int64], length: int
    ) -> NDArray[np.int64]:
        """(length,) groups that each block lacks."""
        hosted = np.zeros((int(self.group.max(initial=-1)) + 1, length), dtype=bool)
        for j in np.flatnonzero((end > start) & (self.group >= 0)):
            hosted[self.group[j], start[j] : end[j]] = True
        short: NDArray[np.int64] = np.maximum(self.count - hosted.sum(axis=0), 0)
        return short


def needs(problem: Problem) -> tuple[Need, ...]:
    """The demands of the problem's constraints on which servers host each block."""
    asked = problem.planning.constraints
    n = problem.num_servers
    every = np.arange(n, dtype=np.int64)
    found = [Need(what=f"every block on {asked.copies} servers", group=every, count=asked.copies)]
    if asked.regions > 1:
        names = sorted({s.region for s in problem.servers})
        group = np.array([names.index(s.region) for s in problem.servers], dtype=np.int64)
        what = f"every block in {asked.regions} regions"
        found.append(Need(what=what, group=group, count=asked.regions))
    for loss in asked.survive:
        group = np.array([-1 if j in loss.servers else j for j in range(n)], dtype=np.int64)
        found.append(Need(what=f"all blocks without {loss.name}", group=group, count=1))
    return tuple(found)


def unmet(problem: Problem, placement: Placement) -> Iterator[tuple[str, str]]:
    """(where, what is wrong) for every demand that a placement within the model does not meet.

    A server counts as a host when its pool holds at least one planned session on all its blocks.
    """
    asked = problem.planning.constraints
    length = problem.model.num_blocks
    start, end = placement.start, placement.end
    serves = placement.cache_bytes >= (end - start) * problem.session_bytes
    for need in needs(problem) if asked.shapes_placement else ():
        short = np.flatnonzero(need.missing(start, np.where(serves, end, start), length))
        if len(short):
            shown = f"block {short[0]}" if len(short) == 1 else f"blocks {short[0]}..{short[-1]}"
            yield shown, f"{len(short)} of {length} blocks lack servers for: {need.what}"
    for span in asked.pinned:
        has = (int(start[span.server]), int(end[span.server]))
        if has != (span.start, span.end) and (has[1] > has[0] or span.end > span.start):
            name = problem.servers[span.server].id
            message = f"hosts [{has[0]}, {has[1]}), is pinned to [{span.start}, {span.end})"
            yield f"placement of {name}", message
    for span in asked.forbidden:
        first, last = max(start[span.server], span.start), min(end[span.server], span.end)
        if first < last:
            name = problem.servers[span.server].id
            yield f"placement of {name}", f"hosts forbidden blocks [{first}, {last})"
