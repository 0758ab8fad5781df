"""Requests dealt by one largest flow of what servers are rated at: Helix' scheduler (ASPLOS'25).

For layouts that it is going to serve, and to see what it makes of any. Among equal flows a solver
picks one that uses few links, whatever those cost in time; ``routing.flow`` spreads requests.
"""

from __future__ import annotations

import numpy as np

from ..chains.compose import client_shares
from ..core.content import IntArray
from ..core.plan import Hop, Placement, Route
from ..perfmodel.cost import CostModel
from ..perfmodel.fluid import beyond, stages_of
from .flow import Dealer, Dealt, HasRoom

#: Flows below this share of the largest one that a server passes on are none.
LEAST = 0.05
#: Flows are counted in such a part of the largest rating.
FINENESS = 1e9
#: The client's own row.
CLIENT = -1


class MaxFlow(Dealt):
    """At every server weighted round robin over where its flow goes.

    A server passes on to those that begin where it ends; if some server begins where none ends, or
    ends where none begins, to all that hold the block at which it ends. Where none has room the
    first in turn is waited for.
    """

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        found = {} if beyond(cost) else dealers(cost, placement)
        super().__init__(cost, placement, _Onward(cost, placement, found) if found else None)


class _Onward:
    """Server after server in turn, each entered where the one before ends."""

    def __init__(self, cost: CostModel, placement: Placement, onward: dict[int, Dealer]) -> None:
        self._num_blocks, self._end, self._next = cost.num_blocks, placement.end.tolist(), onward

    def next_route(self, has_room: HasRoom) -> Route:
        """At every server the first in turn that has room, else the first."""
        hops: list[Hop] = []
        at, done, fits = CLIENT, 0, True
        while done < self._num_blocks:
            ranked = [Hop(server=j, start=done, end=self._end[j]) for j in self._next[at].ranked()]
            chosen = next((hop for hop in ranked if has_room(hop)), None)
            fits = fits and chosen is not None
            hops.append(chosen or ranked[0])
            at, done = hops[-1].server, hops[-1].end
        if fits:  # otherwise it is asked again when cache is free
            at = CLIENT
            for hop in hops:
                self._next[at].draw(hop.server)
                at = hop.server
        return Route(hops=tuple(hops))


def dealers(cost: CostModel, placement: Placement) -> dict[int, Dealer]:
    """Where each server's flow goes, and the client's; empty where there is none."""
    import networkx as nx  # slow to load

    g = stages_of(cost, client_shares(cost.problem))
    start, end = placement.start, placement.end
    held = np.flatnonzero(end > start).tolist()
    meeting = _meeting(start[held], end[held], cost.num_blocks)
    busy_s = np.maximum(g.prompt_send_s + g.tokens[0] * g.step_send_s, 1e-12)
    rated = {j: float(g.rated[j, end[j] - start[j]]) for j in held}
    # In floating point some of a flow may end amid the way.
    unit = max(rated.values(), default=0.0) / FINENESS or 1.0
    graph = nx.DiGraph()
    for j in held:
        graph.add_edge((0, j), (1, j), capacity=round(rated[j] / unit))
    for i in (CLIENT, *held):
        for j in (*held, CLIENT):
            begun = 0 if i == CLIENT else int(end[i])
            if j == CLIENT:
                if i != CLIENT and begun == cost.num_blocks:
                    graph.add_edge((1, i), (0, j))
            elif start[j] == begun or (start[j] < begun < end[j] and not meeting):
                wide = {} if i == CLIENT else {"capacity": round(1.0 / busy_s[i, j] / unit)}
                graph.add_edge((1, i), (0, j), **wide)
    ends = (1, CLIENT), (0, CLIENT)
    if not all(node in graph for node in ends):
        return {}
    whole, flow = nx.maximum_flow(graph, *ends)
    if not whole > 0.0:
        return {}
    found: dict[int, Dealer] = {}
    for (side, i), onward in flow.items():
        parts = {target[1]: part for target, part in onward.items() if part > 0.0}
        kept = {j: part for j, part in parts.items() if part >= LEAST * max(parts.values())}
        if side == 1 and kept:
            found[i] = Dealer(list(kept), list(kept.values()))
    return found


def _meeting(start: IntArray, end: IntArray, num_blocks: int) -> bool:
    """Whether every span begins where another one ends, and ends where another one begins."""
    ends, starts = {0, *end.tolist()}, {num_blocks, *start.tolist()}
    return ends >= set(start.tolist()) and starts >= set(end.tolist())
