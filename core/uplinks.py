"""Capacities that several links share: of a client, a server, a host, a site, a region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """What joins some machines to all others: transfers over it take turns, in each direction.

    A transfer crosses it where one of its ends is inside and the other one outside.

    Attributes
    ----------
    servers, clients : rows of those inside, increasing.
    up_bytes_per_s, down_bytes_per_s : out of it and into it; inf = no limit.
    egress_price_per_byte : of what leaves it, in any currency, None = not known.
    """

    name: str
    servers: tuple[int, ...] = ()
    clients: tuple[int, ...] = ()
    up_bytes_per_s: float = math.inf
    down_bytes_per_s: float = math.inf
    egress_price_per_byte: float | None = None

    def __post_init__(self) -> None:
        for name in ("up_bytes_per_s", "down_bytes_per_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not (self.servers or self.clients):
            raise ValueError(f"nobody is behind uplink {self.name!r}")


def among(
    uplinks: Sequence[Uplink], clients: Sequence[int], servers: Sequence[int]
) -> tuple[Uplink, ...]:
    """The same among some machines, given by their rows: those that somebody is still behind."""
    found = []
    for uplink in uplinks:
        own, inside = set(uplink.clients), set(uplink.servers)
        c = tuple(i for i, row in enumerate(clients) if row in own)
        s = tuple(j for j, row in enumerate(servers) if row in inside)
        if c or s:
            found.append(replace(uplink, clients=c, servers=s))
    return tuple(found)
