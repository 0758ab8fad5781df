"""Overlap: the chain that costs a request and all others the least, work in progress included.

Where servers work on one task at a time the chain that is fastest alone is the wrong one for most
requests: what decides is who is there already. A link costs its time, the waits of the request's
tasks in the line of its server, and what its tasks delay everybody there, for as long as they run
beside each other (docs/model.md 7.1). What a second of each of them counts is up to the goal
(``routing.stakes``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..chains.graph import Graph, request_costs_s, step_costs_s
from ..core.content import FloatArray
from ..core.objective import MEAN_RESPONSE, Goal
from ..core.plan import Placement
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from .api import Decision, SwarmView
from .stakes import BeforeDeadlines, Care, caring_of
from .ws_rr import WaitGraphs, refuse

if TYPE_CHECKING:
    from ..chains.sweep import Net
    from .sweep import Links

#: Request shapes that are remembered.
MOST_SHAPES = 256
#: No link is closed, or charged anything beside its time.
NO_LINKS, NOTHING = np.zeros(0, dtype=bool), np.zeros(0)
#: (E,) seconds that each link is charged beside its time.
Surcharge = Callable[[Request, Graph], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What requests of one shape are on a graph.

    Attributes
    ----------
    links : what they cost.
    fastest_s : on the chain that is fastest alone.
    passes : steps of each token after the first; ``draft_s`` of drafting for it.
    """

    links: Links
    fastest_s: float
    passes: float
    draft_s: float


class _Sweep:
    """The compiled decision over one graph; numba takes a while to load, so not before it."""

    def __init__(self, graph: Graph) -> None:
        from ..chains.sweep import net_of
        from . import sweep

        self._do = sweep
        self._net: Net = net_of(graph)
        self._path = np.empty(graph.num_nodes, dtype=np.int64)

    def chain(self, cost_s: FloatArray, leave_s: FloatArray) -> tuple[list[int], float]:
        """As ``chains.shortest`` finds it."""
        self._net.link["cost_s"] = cost_s
        count, total = self._do.cheapest(self._net, leave_s, False, self._path)
        return self._path[:count].tolist(), total

    def with_room(self, asked: _Asked, care: Care) -> tuple[list[int], float]:
        """The cheapest chain of links that have room."""
        there = asked.passes, asked.seats, asked.met, asked.wait_s, asked.extra_s, asked.closed
        weights = float(care.first), float(care.later)
        count, total = self._do.with_room(
            self._net, asked.shape.links, *there, *weights, self._path
        )
        return self._path[:count].tolist(), total

    def cost_s(self) -> FloatArray:
        """(E,) what links cost in the decision before."""
        cost: FloatArray = self._net.link["cost_s"].copy()
        return cost


class _Asked(NamedTuple):
    """A request, and what does not change while its chain is looked for.

    Attributes
    ----------
    passes : that it makes after the first token.
    seats, met : (n,) everybody at each server, and what they do beside it (``Crowd``).
    wait_s : (E,) until a link has room; 0 = it has. closed : (E,) links that must not be used,
        empty = none. extra_s : (E,) what links are charged beside time, empty = nothing.
    """

    request: Request
    now_s: float
    passes: float
    seats: NDArray[np.void]
    met: FloatArray
    graph: Graph
    shape: _Shape
    wait_s: FloatArray
    closed: NDArray[np.bool_]
    extra_s: FloatArray


class Overlap:
    """Router: least time of a request and of those that it meets.

    Parameters
    ----------
    goal : what is minimised, one of ``core.objective.SERVICE``; a 95th percentile as the mean.
    surcharge : what links cost beside time.

    Raises
    ------
    ScenarioError
        If deadlines are to be met and there are none.
    """

    def __init__(
        self,
        cost: CostModel,
        placement: Placement,
        goal: Goal = MEAN_RESPONSE,
        *,
        surcharge: Surcharge | None = None,
    ) -> None:
        self._cost = cost
        self._surcharge = surcharge
        self._graph = WaitGraphs(cost, placement)
        self._sweeps: dict[int, _Sweep] = {}
        self._known: dict[tuple[int, int, int, int], _Shape] = {}
        self._caring = caring_of(goal, cost.problem.planning.deadlines)

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
        closed, shape = view.closed(exclude), self._shape(graph, request)
        passes = (request.planned_tokens - 1) * shape.passes
        asked = _Asked(
            request=request,
            now_s=now_s,
            passes=passes,
            seats=view.crowd.seats(now_s),
            met=view.crowd.beside(passes, now_s),
            graph=graph,
            shape=shape,
            wait_s=waits.waits_s(view, request.reserved_tokens, now_s),
            closed=NO_LINKS if closed is None else closed[graph.server],
            extra_s=NOTHING if self._surcharge is None else self._surcharge(request, graph),
        )
        cares = self._caring(request, view, shape.fastest_s)
        found = [self._decision(asked, care) for care in cares]
        return min(found, key=lambda one: one[1])[0]

    def _decision(self, asked: _Asked, care: Care) -> tuple[Decision, float]:
        """The cheapest chain for whom seconds count so, and what it costs by the goal itself."""
        graph, sweep = asked.graph, self._sweep(asked.graph)
        chain, total = sweep.with_room(asked, care)
        if not chain:  # nobody has room: the chain that is done first, its longest waits added up
            cost, leave = sweep.cost_s(), asked.shape.links.leave_s * care.later
            chain, total = sweep.chain(cost + care.first * asked.wait_s, leave)
        if not chain:
            exists = bool(sweep.chain(cost, leave)[0])
            refuse(self._cost.problem, asked.request, graph.start, chain_exists=exists)
        decision = Decision(route=graph.route(chain), cost_s=total, stake=care.stake)
        return decision, self._late_s(asked, care, chain, total)

    def _late_s(self, asked: _Asked, care: Care, chain: list[int], total: float) -> float:
        """What a chain costs where lateness counts; the cost itself elsewhere."""
        if not isinstance(self._caring, BeforeDeadlines):
            return total
        links, steps = asked.shape.links, asked.request.planned_tokens - 1
        wait_s = asked.seats["wait_s"][asked.graph.server[chain]]
        waits_s = asked.passes * links.cut[chain] * wait_s
        later_s = float((links.later_s[chain] + waits_s).sum())
        if len(links.leave_s):
            later_s += float(links.leave_s[asked.graph.server[chain[-1]]])
        alone_s = (links.alone_s - links.later_s)[chain]
        first_s = float((alone_s + links.tasks[chain] * wait_s + asked.wait_s[chain]).sum())
        caused = total - care.first * first_s - care.later * later_s
        since_s = asked.now_s - asked.request.arrival_s
        token_s = later_s / max(steps, 1) + asked.shape.draft_s
        return caused + self._caring.late_s(since_s + first_s, token_s, steps)

    def _sweep(self, graph: Graph) -> _Sweep:
        if graph.start not in self._sweeps:
            self._sweeps[graph.start] = _Sweep(graph)
        return self._sweeps[graph.start]

    def _shape(self, graph: Graph, request: Request) -> _Shape:
        key = (graph.start, request.client, request.prompt_tokens, request.planned_tokens)
        if key not in self._known:
            from .sweep import Links

            if len(self._known) >= MOST_SHAPES:
                self._known.clear()
            shape = self._cost.shape(*key[1:])
            alone, leave = request_costs_s(self._cost, graph, shape)
            runs = graph.server, graph.origin, graph.end
            gone = np.zeros(0) if leave is None else leave
            _, fastest = self._sweep(graph).chain(alone, gone)
            token_s = fastest / request.planned_tokens + shape.draft_s
            links = Links(
                alone_s=alone,
                later_s=shape.steps * step_costs_s(self._cost, graph, shape)[0],
                leave_s=gone,
                work_s=self._cost.pass_work_s(shape, *runs),
                prompt_s=self._cost.prompt_work_s(key[2], *runs),
                tasks=self._cost.prompt_tasks(key[2], *runs),
                cut=self._cost.pass_tasks(shape, *runs),
                step_s=float(max(token_s, 1e-9) / shape.passes),
            )
            self._known[key] = _Shape(
                links=links, fastest_s=fastest, passes=shape.passes, draft_s=shape.draft_s
            )
        return self._known[key]
