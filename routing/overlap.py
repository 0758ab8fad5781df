"""Overlap: the chain that costs a request and all others the least, work in progress included.

Where servers work on one task at a time the chain that is fastest alone is the wrong one for most
requests: what decides is who is there already. A link costs its time, the waits of the request's
tasks in the line of its server, and half of what its tasks would delay everybody there, for as long
as they run beside each other (a session that is met has on average half of its way to go).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..chains.graph import Graph, request_costs_s
from ..chains.shortest import shortest
from ..core.content import FloatArray, IntArray
from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .api import Decision, SwarmView
from .ws_rr import WaitGraphs, refuse

#: Share of the request's steps during which a session that it meets is still there.
BESIDE = 0.5
#: Request shapes that are remembered.
MOST_SHAPES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Links:
    """What the links cost one request shape.

    Attributes
    ----------
    alone_s : (E,) time on each link alone; ``leave_s`` as ``chains.shortest`` takes it.
    work_s, tasks : (E,) work of one step, and tasks of the whole request.
    step_s : between two tokens on the chain that is fastest alone.
    """

    alone_s: FloatArray
    leave_s: FloatArray | None
    work_s: FloatArray
    tasks: IntArray
    step_s: float


class Overlap:
    """Router: least time of a request and of those that it meets."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost = cost
        self._graph = WaitGraphs(cost, placement)
        self._known: dict[tuple[int, int, int, int], _Links] = {}

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        """The chain to take; errors as every router."""
        graph, waits = self._graph(start_block)
        links = self._links(graph, request)
        cost = links.alone_s + self._crowding_s(graph, links, request, view)
        closed = view.closed(exclude)
        if closed is not None:
            cost[closed[graph.server]] = np.inf
        wait = waits.waits_s(view, request.reserved_tokens, now_s)
        chain, total = shortest(graph, np.where(wait > 0, np.inf, cost), links.leave_s)
        if not chain:  # nobody has room: the chain that is done first, its longest waits added up
            chain, total = shortest(graph, cost + wait, links.leave_s)
        if not chain:
            exists = bool(shortest(graph, cost, links.leave_s)[0])
            refuse(self._cost.problem, request, graph.start, chain_exists=exists)
        return Decision(route=graph.route(chain), cost_s=total)

    def _crowding_s(
        self, graph: Graph, links: _Links, request: Request, view: SwarmView
    ) -> FloatArray:
        """(E,) waits of a request's tasks, and what they delay those who are there."""
        crowd, server = view.crowd, graph.server
        in_line = crowd.wait_s()[server]
        steps = request.planned_tokens - 1
        delay = links.work_s / links.step_s * (links.work_s / 2 + in_line)
        total: FloatArray = links.tasks * in_line + BESIDE * steps * crowd.count[server] * delay
        return total

    def _links(self, graph: Graph, request: Request) -> _Links:
        key = (graph.start, request.client, request.prompt_tokens, request.planned_tokens)
        if key not in self._known:
            if len(self._known) >= MOST_SHAPES:
                self._known.clear()
            shape = self._cost.shape(*key[1:])
            alone, leave = request_costs_s(self._cost, graph, shape)
            runs = graph.server, graph.origin, graph.end
            tasks = request.planned_tokens - 1 + self._cost.prompt_tasks(key[2], *runs)
            _, fastest = shortest(graph, alone, leave)
            self._known[key] = _Links(
                alone_s=alone,
                leave_s=leave,
                work_s=self._cost.step_work_s(shape, *runs),
                tasks=tasks,
                step_s=max(fastest / request.planned_tokens, 1e-9),
            )
        return self._known[key]
