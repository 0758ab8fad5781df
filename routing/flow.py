"""Requests dealt as a flow goes: at every server smooth weighted round robin over the next ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np

from ..chains.capacity import planned_mix
from ..chains.compose import client_shares
from ..chains.sustain import Flow, sustained
from ..core.plan import Hop, Placement, Route
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..perfmodel.fluid import Fluid, beyond, fluid
from .api import Decision, SwarmView
from .ws_rr import WsRr

#: Flows below this share of those that go on from a server are not dealt to.
LEAST = 1e-6


class Dealer:
    """Smooth weighted round robin over some targets.

    Everybody gains its weight at each draw, who stands highest is drawn and pays the sum: in a
    round each is drawn by its weight, as evenly spread as can be.
    """

    def __init__(self, targets: Sequence[int], weights: Sequence[float]) -> None:
        whole = float(sum(weights))
        self._targets, self._weights = list(targets), [w / whole for w in weights]
        self._credit = [0.0] * len(self._targets)

    def ranked(self) -> list[int]:
        """The targets, next first; nothing is drawn yet."""
        after = [c + w for c, w in zip(self._credit, self._weights, strict=True)]
        order = sorted(range(len(after)), key=lambda i: (-after[i], i))
        return [self._targets[i] for i in order]

    def draw(self, target: int) -> None:
        """This one is taken."""
        for i, weight in enumerate(self._weights):
            self._credit[i] += weight
        self._credit[self._targets.index(target)] -= 1.0


#: Whether a server has room for the session at hand.
HasRoom = Callable[[Hop], bool]


class Deal(Protocol):
    """What deals routes."""

    def next_route(self, has_room: HasRoom) -> Route:
        """The first in turn that has room, else the first."""
        ...


class Dealt:
    """Online router: everybody takes the route that is dealt next.

    Where nothing is dealt, and for a session that lost a server, WS-RR decides.

    Parameters
    ----------
    deal : None where no flow is known.
    """

    def __init__(self, cost: CostModel, placement: Placement, deal: Deal | None) -> None:
        self._cost, self._deal = cost, deal
        self._otherwise = WsRr(cost, placement)

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        if self._deal is None or start_block or view.closed(exclude) is not None:
            return self._otherwise(request, view, now_s, start_block=start_block, exclude=exclude)

        def has_room(hop: Hop) -> bool:
            need = self._cost.cache_bytes(request.reserved_tokens, hop.start, hop.end)
            return bool(need <= view.free_bytes[hop.server])

        route = self._deal.next_route(has_room)
        shape = self._cost.shape(request.client, request.prompt_tokens, request.planned_tokens)
        return Decision(route=route, cost_s=self._cost.route_time(route, shape).total_s)


class ByFlow(Dealt):
    """Deals requests over chains as a flow goes.

    Where servers batch, that of the fluid model: at each server the next one is the first in turn
    that has room for the session now. Where all work on one task at a time, that of the linear
    programme of ``chains.sustain``: whole routes in turn. Where none has room, the first in turn is
    waited for.
    """

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        deal: Deal | None = None
        if cost.serial.all():
            flows = sustained(cost, placement, planned_mix(cost.problem)).flows
            deal = _Routes(flows) if flows else None
        elif not beyond(cost):
            flow = fluid(cost, client_shares(cost.problem), placement)
            deal = _Hops(flow, placement) if flow.share.any() else None
        super().__init__(cost, placement, deal)


class _Routes:
    """Whole routes in turn."""

    def __init__(self, flows: Sequence[Flow]) -> None:
        self._routes = [flow.route for flow in flows]
        self._dealer = Dealer(range(len(flows)), [flow.rate_per_s for flow in flows])

    def next_route(self, has_room: HasRoom) -> Route:
        """The first in turn that has room, else the first."""
        ranked = self._dealer.ranked()
        for i in ranked:
            if all(has_room(hop) for hop in self._routes[i].hops):
                self._dealer.draw(i)
                return self._routes[i]
        return self._routes[ranked[0]]


class _Hops:
    """Server after server in turn."""

    def __init__(self, flow: Fluid, placement: Placement) -> None:
        rows = np.flatnonzero(flow.share > LEAST).tolist()
        self._hop = {
            j: Hop(server=j, start=int(flow.start[j]), end=int(placement.end[j])) for j in rows
        }
        first = [j for j in rows if self._hop[j].start == 0]
        self._first = Dealer(first, flow.share[first].tolist())
        self._next: dict[int, Dealer] = {}
        for j in rows:
            onward = np.flatnonzero(flow.flow[j] > LEAST * flow.share[j])
            if len(onward):
                self._next[j] = Dealer(onward.tolist(), flow.flow[j, onward].tolist())

    def next_route(self, has_room: HasRoom) -> Route:
        """At every server the first in turn that has room, else the first."""
        hops: list[Hop] = []
        dealer: Dealer | None = self._first
        fits = True
        while dealer is not None:
            ranked = dealer.ranked()
            chosen = next((j for j in ranked if has_room(self._hop[j])), None)
            fits = fits and chosen is not None
            hops.append(self._hop[ranked[0] if chosen is None else chosen])
            dealer = self._next.get(hops[-1].server)
        if fits:  # otherwise it is asked again when cache is free
            self._first.draw(hops[0].server)
            for before, hop in pairwise(hops):
                self._next[before.server].draw(hop.server)
        return Route(hops=tuple(hops))
