"""The one interface of every router."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..core.plan import Placement, Route
from ..core.problem import Problem
from ..core.workload import Request
from .state import SwarmState


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A route and the cost that the router gave it, in the router's own measure (seconds)."""

    route: Route
    cost_s: float


class Router(Protocol):
    """Chooses a chain for one request; made once per problem and placement."""

    def __call__(
        self,
        request: Request,
        state: SwarmState,
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


RouterFactory = Callable[[Problem, Placement], Router]
