"""Overlap: the chain that costs a request and all others the least, work in progress included.

Where servers work on one task at a time the chain that is fastest alone is the wrong one for most
requests: what decides is who is there already. A link costs its time, the waits of the request's
tasks in the line of its server, and what its tasks delay everybody there, for as long as they run
beside each other (docs/model.md 7.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..chains.graph import Graph, request_costs_s
from ..core.content import FloatArray, IntArray
from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.contention import Crowd
from ..perfmodel.cost import CostModel
from .api import Decision, SwarmView
from .ws_rr import WaitGraphs, refuse

if TYPE_CHECKING:
    from .sweep import Net

#: Request shapes that are remembered.
MOST_SHAPES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Links:
    """What the links cost one request shape.

    Attributes
    ----------
    alone_s : (E,) time on each link alone; ``leave_s`` (n,) of leaving, empty where it is none.
    work_s, prompt_s : (E,) work of one step and of the prompt; ``tasks`` of the prompt, ``cut`` of
        a step.
    step_s : between two steps on the chain that is fastest alone.
    passes : steps of each token after the first.
    """

    alone_s: FloatArray
    leave_s: FloatArray
    work_s: FloatArray
    prompt_s: FloatArray
    tasks: IntArray
    cut: IntArray
    step_s: float
    passes: float


class _Sweep:
    """The compiled decision over one graph; numba takes a while to load, so not before it."""

    def __init__(self, graph: Graph) -> None:
        from . import sweep

        self._do = sweep
        self._net: Net = sweep.net_of(graph)
        self._path = np.empty(graph.num_nodes, dtype=np.int64)

    def chain(self, cost_s: FloatArray, leave_s: FloatArray) -> tuple[list[int], float]:
        """As ``chains.shortest`` finds it."""
        self._net.link["cost_s"] = cost_s
        last, total = self._do.sweep(self._net, leave_s, False)
        if last == -2:
            return [], total
        return self._path[: self._do.walk_back(self._net, last, self._path)].tolist(), total

    def crowded_s(self, links: _Links, request: Request, crowd: Crowd, now_s: float) -> FloatArray:
        """(E,) time of the request on each link, and what it suffers and causes there."""
        link, steps = self._net.link, (request.planned_tokens - 1) * links.passes
        link["cost_s"] = links.alone_s
        known = links.work_s, links.prompt_s, links.tasks, links.cut, links.step_s
        seats, met = crowd.seats(now_s), crowd.beside(steps, now_s)
        self._do.add_crowding(link, *known, steps, seats, met)
        total: FloatArray = link["cost_s"].copy()
        return total


class Overlap:
    """Router: least time of a request and of those that it meets."""

    def __init__(self, cost: CostModel, placement: Placement) -> None:
        self._cost = cost
        self._graph = WaitGraphs(cost, placement)
        self._sweeps: dict[int, _Sweep] = {}
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
        sweep = self._sweep(graph)
        links = self._links(graph, request)
        cost = sweep.crowded_s(links, request, view.crowd, now_s)
        closed = view.closed(exclude)
        if closed is not None:
            cost[closed[graph.server]] = np.inf
        wait = waits.waits_s(view, request.reserved_tokens, now_s)
        chain, total = sweep.chain(np.where(wait > 0, np.inf, cost), links.leave_s)
        if not chain:  # nobody has room: the chain that is done first, its longest waits added up
            chain, total = sweep.chain(cost + wait, links.leave_s)
        if not chain:
            exists = bool(sweep.chain(cost, links.leave_s)[0])
            refuse(self._cost.problem, request, graph.start, chain_exists=exists)
        return Decision(route=graph.route(chain), cost_s=total)

    def _sweep(self, graph: Graph) -> _Sweep:
        if graph.start not in self._sweeps:
            self._sweeps[graph.start] = _Sweep(graph)
        return self._sweeps[graph.start]

    def _links(self, graph: Graph, request: Request) -> _Links:
        key = (graph.start, request.client, request.prompt_tokens, request.planned_tokens)
        if key not in self._known:
            if len(self._known) >= MOST_SHAPES:
                self._known.clear()
            shape = self._cost.shape(*key[1:])
            alone, leave = request_costs_s(self._cost, graph, shape)
            runs = graph.server, graph.origin, graph.end
            tasks = self._cost.prompt_tasks(key[2], *runs)
            gone = np.zeros(0) if leave is None else leave
            _, fastest = self._sweep(graph).chain(alone, gone)
            self._known[key] = _Links(
                alone_s=alone,
                leave_s=gone,
                work_s=self._cost.pass_work_s(shape, *runs),
                prompt_s=self._cost.prompt_work_s(key[2], *runs),
                tasks=tasks,
                cut=self._cost.pass_tasks(shape, *runs),
                step_s=max(fastest / request.planned_tokens + shape.draft_s, 1e-9) / shape.passes,
                passes=shape.passes,
            )
        return self._known[key]
