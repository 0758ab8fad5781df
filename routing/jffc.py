"""JFFC: join the fastest free chain (arXiv 2604.14993; docs/model.md 10.4)."""

from __future__ import annotations

import numpy as np

from ..chains.compose import Chain, gca
from ..core.content import FloatArray, IntArray
from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .api import Decision, SwarmView
from .ws_rr import WsRr


class Jffc:
    """The fastest chain with room now; else the chain that is free first.

    Made for the ``queue`` admission: a request whose chain has no room waits at the tail of one
    queue and is asked about again when a session ends. "Fastest" is the time of the
    representative request from the client who asks. What fixed chains cannot answer (the rest of
    a route after a loss, chains that are all closed or too small) is left to WS-RR.

    Attributes
    ----------
    chains : the chains and capacities that GCA composes on the placement.
    """

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self.chains: tuple[Chain, ...] = gca(cost, placement)
        self._cost = cost
        self._any_route = WsRr(cost, placement)
        self._orders: dict[int, tuple[IntArray, FloatArray]] = {}
        # The distinct hops of all chains, each looked at once a decision, and their numbers by
        # chain; rows are filled up with hop 0, which runs no block.
        hops = list(dict.fromkeys(h for c in self.chains for h in c.route.hops))
        number = {hop: i for i, hop in enumerate(hops, start=1)}
        self._server = np.array([0, *(h.server for h in hops)], dtype=np.int64)
        self._start = np.array([0, *(h.start for h in hops)], dtype=np.int64)
        self._end = np.array([0, *(h.end for h in hops)], dtype=np.int64)
        longest = max((len(c.route.hops) for c in self.chains), default=0)
        self._hop = np.zeros((len(self.chains), longest), dtype=np.int64)
        for i, chain in enumerate(self.chains):
            for h, hop in enumerate(chain.route.hops):
                self._hop[i, h] = number[hop]

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        """The chain to take, or to wait for; errors as every router."""
        if start_block == 0 and self.chains:
            need = self._cost.cache_bytes(request.reserved_tokens, self._start, self._end)
            order, seconds = self._fastest_first(request.client)
            usable = order[self._open(view, exclude)[order]]
            lacks = (view.free_bytes[self._server] < need) & (need > 0)
            free = usable[~lacks[self._hop[usable]].any(axis=1)]
            if len(free):
                k = int(free[0])
                return Decision(route=self.chains[k].route, cost_s=float(seconds[k]))
            ready = np.zeros(len(need))
            for i in np.flatnonzero(lacks).tolist():
                ready[i] = view.ready_s(int(self._server[i]), int(need[i]), now_s) - now_s
            waits = ready[self._hop[usable]].max(axis=1)
            if np.isfinite(waits).any():
                first = int(np.argmin(waits))
                k = int(usable[first])
                cost = float(waits[first] + seconds[k])
                return Decision(route=self.chains[k].route, cost_s=cost)
        return self._any_route(request, view, now_s, start_block=start_block, exclude=exclude)

    def _fastest_first(self, client: int) -> tuple[IntArray, FloatArray]:
        """Chains by time for one client (ties: as composed), and the times in seconds."""
        if client not in self._orders:
            paid = self._cost.planned(client)
            seconds = np.array([self._cost.route_time(c.route, paid).total_s for c in self.chains])
            self._orders[client] = np.argsort(seconds, kind="stable"), seconds
        return self._orders[client]

    def _open(self, view: SwarmView, exclude: frozenset[int]) -> np.ndarray:
        """(K,) chains whose servers may all be used."""
        closed = view.closed(exclude)
        if closed is None:
            return np.ones(len(self.chains), dtype=bool)
        shut = closed[self._server] & (self._end > self._start)
        open_chains: np.ndarray = np.asarray(np.logical_not(shut[self._hop]).all(axis=1))
        return open_chains
