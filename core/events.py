"""What happens to the servers of a swarm while requests run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Where a server that joins has its blocks: over its link, on its disk.
Cold = Literal["download", "disk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """A server fails (``up=False``) or comes (back) with its planned blocks and an empty cache.

    A server whose first event is ``up`` joins: it is out of service from the beginning until
    then. The caches of the sessions on a server that fails are lost.

    Attributes
    ----------
    cold : a server that comes has to load its blocks first, from there; None = it has.
    """

    time_s: float
    server: int
    up: bool
    cold: Cold | None = None
