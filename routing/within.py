"""Routers that keep to servers with the client's adapter and within the clients' budgets of
accuracy, whichever they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..chains.graph import request_costs_s
from ..chains.within import cheapest_within
from ..core.accuracy import SAME_HARM
from ..core.content import FloatArray
from ..core.errors import NoRouteError
from ..core.plan import Hop, Placement, Route
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .api import Decision, Router, SlotRouter, SwarmView
from .forward import drafting_where_possible
from .ws_rr import WaitGraphs


def within_budgets(
    factory: Callable[[CostModel, Placement], Router], cost: CostModel, placement: Placement
) -> Router:
    """A router that never leaves a budget or the servers with an adapter, and knows which chains
    are drafted; the router itself where there is none and all are."""
    inner = drafting_where_possible(factory, cost, placement)
    if not (cost.budgeted or cost.adapted):
        return inner
    made = _SlotWithin if isinstance(inner, SlotRouter) else WithinBudgets
    return made(inner, cost, placement)


class WithinBudgets:
    """Takes another router's chain where that is within the budget of the client, and all of its
    servers load its adapter.

    Else the cheapest one that is: time of the request and waits for cache, as ``ws-rr``. A session
    that lost a server has spent what the chain that it keeps harms.
    """

    def __init__(self, inner: Router, cost: CostModel, placement: Placement) -> None:
        self._inner, self._cost = inner, cost
        self._graphs = WaitGraphs(cost, placement)
        self._routes: dict[str | int, Route] = {}

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        exclude |= self._cost.lacking[request.client]
        try:
            decision = self._inner(request, view, now_s, start_block=start_block, exclude=exclude)
        except NoRouteError:
            if not self._cost.adapted:
                raise
            decision = None  # fixed chains may all have a server that lacks it
        return self._kept(request, decision, view, now_s, start_block, exclude)

    def _kept(
        self,
        request: Request,
        decision: Decision | None,
        view: SwarmView,
        now_s: float,
        start_block: int,
        exclude: frozenset[int],
    ) -> Decision:
        """A decision within the budget and without the excluded servers."""
        kept = self._before(request, start_block)
        spent = self._cost.route_harm(Route(hops=kept))
        left = float(self._cost.budgets[request.client]) - spent
        if (
            decision is None
            or self._cost.route_harm(decision.route) > left + SAME_HARM
            or not exclude.isdisjoint(decision.route.servers)
        ):
            decision = self._cheapest(request, view, now_s, start_block, exclude, left)
        self._routes[request.id] = Route(hops=(*kept, *decision.route.hops))
        return decision

    def _before(self, request: Request, start_block: int) -> tuple[Hop, ...]:
        """Hops of the request that end at or before a block."""
        known = self._routes.get(request.id)
        if known is None or start_block == 0:
            return ()
        return tuple(h for h in known.hops if h.end <= start_block)

    def _cheapest(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        start_block: int,
        exclude: frozenset[int],
        budget: float,
    ) -> Decision:
        graph, waits = self._graphs(start_block)
        shape = self._cost.shape(request.client, request.prompt_tokens, request.planned_tokens)
        plain, leave = request_costs_s(self._cost, graph, shape)
        cost: FloatArray = plain + waits.waits_s(view, request.reserved_tokens, now_s)
        closed = view.closed(exclude)
        if closed is not None:
            cost = np.where(closed[graph.server], np.inf, cost)
        harm = self._cost.harm(graph.server, graph.origin, graph.end)
        links, total = cheapest_within(graph, cost, harm, budget, leave)
        if not links:
            name = self._cost.problem.clients[request.client].id
            asked = self._cost.problem.clients[request.client].adapter
            within = f"with adapter {asked!r}" if asked else "within what it may use"
            raise NoRouteError(
                f"no chain of running servers leads client {name!r} from block {start_block} on "
                f"{within}"
            )
        return Decision(route=graph.route(links), cost_s=total)


class _SlotWithin(WithinBudgets):
    """The same of a router that decides for all requests of a slot at once."""

    @property
    def tick_s(self) -> float:
        assert isinstance(self._inner, SlotRouter)
        return self._inner.tick_s

    def assign(
        self, requests: Sequence[Request], view: SwarmView, now_s: float
    ) -> Sequence[Decision | None]:
        """Decisions of the slot, each kept within its budget; who has none waits."""
        assert isinstance(self._inner, SlotRouter)
        found: list[Decision | None] = []
        for request, decision in zip(
            requests, self._inner.assign(requests, view, now_s), strict=True
        ):
            try:
                found.append(
                    None
                    if decision is None
                    else self._kept(
                        request, decision, view, now_s, 0, self._cost.lacking[request.client]
                    )
                )
            except NoRouteError:
                found.append(None)
        return found
