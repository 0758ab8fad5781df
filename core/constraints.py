"""What an operator asks of a placement beside memory and coverage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Servers that may be lost together: a server or a region, by its ``name``."""

    name: str
    servers: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpan:
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
    pinned: tuple[ServerSpan, ...] = ()
    forbidden: tuple[ServerSpan, ...] = ()

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
