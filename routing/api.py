"""The ports of routers: what they see of the swarm, and what they decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..core.content import IntArray
from ..core.plan import Placement, Route
from ..core.workload import Request
from ..perfmodel.contention import Crowd
from ..perfmodel.cost import CostModel
from ..perfmodel.stake import Stake


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A route and the cost that the router gave it, in the router's own measure (seconds).

    Attributes
    ----------
    stake : what a second of the request counts while it runs, where routers look at that.
    """

    route: Route
    cost_s: float
    stake: Stake = field(default_factory=Stake)


class Ready(NamedTuple):
    """When cache is expected to be free: with the end of a session.

    Attributes
    ----------
    finish_s : the end expected of it; -inf = free already, inf = never.
    step_s : its time per token: once the end is overdue, it is taken to be a token away.
    """

    finish_s: float
    step_s: float = 0.0

    def at_s(self, now_s: float) -> float:
        """The instant, seen from another one."""
        if self.finish_s > now_s:
            return self.finish_s
        return now_s + self.step_s


FREE, NEVER = Ready(-math.inf), Ready(math.inf)


class Running(NamedTuple):
    """A session that runs.

    Attributes
    ----------
    servers, work_s : of its hops, in order, and the work of a step on each.
    alone_s : time of a step if nobody else were there.
    steps : that are expected to be left, at least 1.
    """

    servers: tuple[int, ...]
    work_s: tuple[float, ...]
    alone_s: float
    steps: float


class SwarmView(Protocol):
    """The live swarm as routers see it; they must not change it.

    Attributes
    ----------
    pool_bytes : (n,) cache pools.
    free_bytes : (n,) pool minus everything reserved; negative while sessions wait in it.
    down : (n,) servers out of service.
    version : (n,) grows whenever a server's reservations change, so that routers can remember
        what they derived from them.
    crowd : the sessions at servers that work on one task at a time.
    """

    @property
    def crowd(self) -> Crowd: ...
    @property
    def pool_bytes(self) -> IntArray: ...
    @property
    def free_bytes(self) -> IntArray: ...
    @property
    def down(self) -> NDArray[np.bool_]: ...
    @property
    def version(self) -> IntArray: ...

    def closed(self, exclude: frozenset[int]) -> NDArray[np.bool_] | None:
        """(n,) servers that must not be used, or None when all may."""
        ...

    def count_at(self, server: int) -> int:
        """Number of sessions that hold cache on a server."""
        ...

    def count_of(self, client: int) -> int:
        """Number of sessions of a client that hold cache."""
        ...

    def running(self, now_s: float) -> Sequence[Running]:
        """The sessions whose work is known, in a fixed order."""
        ...

    def ready_s(self, server: int, need_bytes: int, now_s: float) -> float:
        """When so much is expected to be free; inf when the whole pool is too small."""
        ...

    def ready_many(self, server: int, needs_bytes: Iterable[int]) -> list[Ready]:
        """When each of several needs in increasing order is expected to be free."""
        ...


class Router(Protocol):
    """Chooses a chain for one request; made once per problem and placement."""

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        """The chain from ``start_block`` to the end, avoiding ``exclude`` and servers down.

        Raises
        ------
        NoRouteError
            If no chain exists.
        RequestTooLargeError
            If every chain has a server whose whole pool is too small for the session.
        """
        ...


@runtime_checkable
class SlotRouter(Protocol):
    """A router that decides for all requests of a slot of time at once.

    Called for a single request, it re-routes a session that lost a server.

    Attributes
    ----------
    tick_s : length of a slot, seconds.
    """

    @property
    def tick_s(self) -> float: ...

    def assign(
        self, requests: Sequence[Request], view: SwarmView, now_s: float
    ) -> Sequence[Decision | None]:
        """A decision for each request, in order of arrival; None = wait for the next slot."""
        ...

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        """As every router."""
        ...


#: Makes a router for what a problem costs and a placement.
RouterFactory = Callable[[CostModel, Placement], Router]
