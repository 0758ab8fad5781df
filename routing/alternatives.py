"""Why not another server? The cheapest chain through each server, beside the best chain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..chains.graph import Graph, build_graph, step_costs_s
from ..chains.shortest import backward, forward, walked_back, walked_on
from ..core.content import FloatArray
from ..core.plan import Placement, Route
from ..perfmodel.cost import CostModel
from ..perfmodel.hops import HopCost


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """The cheapest chain that uses ``server``; ``route`` is None when no chain does."""

    server: int
    route: Route | None
    step_s: float


def cheapest_chains_through(
    cost: CostModel, placement: Placement, shape: HopCost
) -> tuple[Alternative, ...]:
    """For every placed server the chain with the least decode step that passes through it, for
    the client of ``shape``.

    One sweep forward and one backward over the routing graph. Under server relay chains are found
    without the case in which a middle server's answer is the last, and then timed as they run.

    Returns
    -------
    One alternative per placed server, cheapest first (ties: lowest server row).
    """
    graph = build_graph(cost, placement)
    steps_s, leave = step_costs_s(cost, graph, shape)
    if lacking := cost.lacking[shape.client]:
        steps_s = np.where(np.isin(graph.server, list(lacking)), np.inf, steps_s)
    through = {j: chain for j, _, chain in through_each(graph, steps_s, leave)}
    found = []
    for j in np.flatnonzero(placement.num_blocks).tolist():
        route = graph.route(through[j]()) if j in through else None
        step_s = cost.step_s(route, shape) if route else float("inf")
        found.append(Alternative(server=j, route=route, step_s=step_s))
    return tuple(sorted(found, key=lambda a: (a.step_s, a.server)))


def through_each(
    graph: Graph, cost: FloatArray, leave: FloatArray | None
) -> list[tuple[int, float, Callable[[], list[int]]]]:
    """(server, cost, links) of the cheapest chain through each server that is on any.

    Parameters
    ----------
    cost, leave : as for ``chains.shortest``. The links are walked when they are asked for.
    """
    to, came_by = forward(graph, cost)
    onward, goes_by = backward(graph, cost, leave)
    head = graph.end if graph.merged else graph.server
    total = to[graph.tail] + cost + onward[head]

    def walked(link: int) -> list[int]:
        before = walked_back(graph, came_by, int(graph.tail[link]))
        return [*before, link, *walked_on(graph, goes_by, graph.head(link))]

    found: list[tuple[int, float, Callable[[], list[int]]]] = []
    for j, links in graph.by_server.items():
        if links.stop > links.start:
            link = links.start + int(np.argmin(total[links]))
            if np.isfinite(total[link]):
                found.append((j, float(total[link]), partial(walked, link)))
    return found


def first_tokens_s(cost: CostModel, placement: Placement) -> dict[int, float]:
    """By server, the first token of the representative request of the quickest client through it,
    if nobody else is there."""
    found: dict[int, float] = {}
    for client in range(len(cost.problem.clients)):
        paid = cost.planned(client)
        for through in cheapest_chains_through(cost, placement, paid):
            if through.route is not None:
                first_s = cost.opening_s + cost.route_time(through.route, paid).ttft_s
                found[through.server] = min(first_s, found.get(through.server, math.inf))
    return found
