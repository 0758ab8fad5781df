"""Routes that are planned ahead: the fastest chain, and chains for R sessions at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.errors import NoRouteError, RequestTooLargeError
from ..core.plan import Placement, PlannedRoute
from ..core.problem import FloatArray, Problem
from ..core.workload import Demand, Request
from ..perfmodel.latency import HopCosts, hop_cost
from ..perfmodel.shortest import Graph, build_graph, exit_cost_s, link_cost_s, shortest
from .api import Decision
from .state import SwarmState
from .ws_rr import refuse


class Shortest:
    """Router that ignores load: the chain with the least whole-request time.

    Optimal for the placement when caches never bind (docs/model.md, Lemma 3 of the paper).
    """

    def __init__(self, problem: Problem, placement: Placement) -> None:
        self._problem = problem
        self._placement = placement
        self._costs = HopCosts(problem)
        self._graphs: dict[int, Graph] = {}

    def __call__(
        self,
        request: Request,
        state: SwarmState,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        if start_block not in self._graphs:
            self._graphs[start_block] = build_graph(self._problem, self._placement, start_block)
        graph = self._graphs[start_block]
        expected = request.planned_tokens
        cost = self._costs(request.client, request.prompt_tokens, expected)
        links_s = link_cost_s(self._problem, graph, request.client, cost)
        each = self._problem.cache_bytes(request.reserved_tokens)
        closed = state.down.copy()
        closed[list(exclude)] = True
        running = np.where(closed[graph.server], np.inf, links_s)
        room = graph.blocks * each <= state.pool_bytes[graph.server]
        leave = exit_cost_s(self._problem, request.client, cost)
        links, total = shortest(graph, np.where(room, running, np.inf), leave)
        if not links:
            exists = bool(shortest(graph, running, leave)[0])
            refuse(self._problem, request, start_block, chain_exists=exists)
        return Decision(route=graph.route(links), cost_s=total)


def best_routes(
    problem: Problem, placement: Placement, demand: Sequence[Demand]
) -> tuple[tuple[PlannedRoute, ...], tuple[str, ...]]:
    """Chains for all sessions of the demand at once, within every server's cache pool.

    Successive shortest chains by decode step time: each round gives the client with the most
    unplanned sessions its fastest chain that still has room, with as many sessions as fit.
    Optimal while caches do not bind (one round per client); a heuristic beyond.

    Returns
    -------
    The routes and, when some sessions find no room beside the others, a note that says how many.

    Raises
    ------
    NoRouteError
        If some client has no chain at all.
    RequestTooLargeError
        If not even one session of a client fits.
    """
    graph = build_graph(problem, placement)
    plan = problem.planning
    free = placement.cache_bytes.copy()
    left = {d.client: d.sessions for d in demand}
    cache = {d.client: d.cache_bytes for d in demand}
    planned: list[PlannedRoute] = []
    full: dict[int, int] = {}
    while left:
        client = max(left, key=lambda c: (left[c], -c))
        cost = hop_cost(problem, client, plan.prompt_tokens, plan.output_tokens)
        steps = _step_cost_s(problem, graph, client)
        leave = exit_cost_s(problem, client, cost)
        leave = None if leave is None else leave / max(cost.steps, 1)
        room = graph.blocks * cache[client] <= free[graph.server]
        links, _ = shortest(graph, np.where(room, steps, np.inf), leave)
        if not links:
            if all(p.client != client for p in planned):
                _refuse(problem, placement, graph, client, steps, leave)
            full[client] = left.pop(client)
            continue
        route = graph.route(links)
        fit = min(int(free[h.server]) // (len(h) * cache[client]) for h in route.hops)
        taken = min(left[client], fit)
        for hop in route.hops:
            free[hop.server] -= taken * len(hop) * cache[client]
        planned.append(PlannedRoute(client=client, sessions=taken, route=route))
        left[client] -= taken
        if not left[client]:
            del left[client]
    planned.sort(key=lambda p: p.client)
    return tuple(planned), _notes(problem, full)


def _step_cost_s(problem: Problem, graph: Graph, client: int) -> FloatArray:
    """(E,) seconds of one decode step on each link."""
    plan = problem.planning
    two = hop_cost(problem, client, plan.prompt_tokens, max(2, plan.output_tokens))
    whole = link_cost_s(problem, graph, client, two)
    prompt = two.prefill_hop_s[graph.server] + two.prefill_block_s[graph.server] * graph.blocks
    per_step: FloatArray = (whole - prompt) / two.steps
    return per_step


def _refuse(
    problem: Problem,
    placement: Placement,
    graph: Graph,
    client: int,
    steps: FloatArray,
    leave: FloatArray | None,
) -> None:
    """No room for the first session: say whether a chain exists at all."""
    name = problem.clients[client].id
    if not shortest(graph, steps, leave)[0]:
        missing = np.flatnonzero(placement.coverage(problem.model.num_blocks) == 0)
        raise NoRouteError(
            f"client {name!r} has no chain: no server hosts block(s) {_ranges(missing.tolist())}"
        )
    raise RequestTooLargeError(
        f"not one session of client {name!r} ({problem.planning.session_tokens} cache tokens) fits "
        "beside the others on any chain: reserve fewer tokens per session, plan fewer sessions, "
        "or place fewer blocks per server"
    )


def _ranges(blocks: list[int]) -> str:
    """``[0, 1, 2, 5]`` as ``0-2, 5``."""
    parts: list[list[int]] = []
    for b in blocks:
        if parts and parts[-1][1] == b - 1:
            parts[-1][1] = b
        else:
            parts.append([b, b])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _notes(problem: Problem, full: dict[int, int]) -> tuple[str, ...]:
    return tuple(
        f"{count} planned session(s) of client {problem.clients[c].id} find no room beside the "
        "others and would wait"
        for c, count in sorted(full.items())
    )
