"""Why not another server? The cheapest chain through each server, beside the best chain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..chains.graph import build_graph, step_costs_s
from ..chains.shortest import backward, forward, walked_back, walked_on
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
    """For every placed server the chain with the least decode step that passes through it.

    One sweep forward and one backward over the routing graph. Under server relay chains are found
    without the case in which a middle server's answer is the last, and then timed as they run.

    Returns
    -------
    One alternative per placed server, cheapest first (ties: lowest server row).
    """
    graph = build_graph(cost, placement)
    steps, leave = step_costs_s(cost, graph, shape)
    to, came_by = forward(graph, steps)
    onward, goes_by = backward(graph, steps, leave)
    found = []
    for j in np.flatnonzero(placement.num_blocks).tolist():
        links = graph.by_server[j]
        heads = [graph.head(i) for i in range(links.start, links.stop)]
        total = to[graph.tail[links]] + steps[links] + onward[heads]
        route, step_s = None, float("inf")
        if len(total) and np.isfinite(total.min()):
            link = links.start + int(np.argmin(total))
            before = walked_back(graph, came_by, int(graph.tail[link]))
            after = walked_on(graph, goes_by, graph.head(link))
            route = graph.route([*before, link, *after])
            step_s = cost.step_s(route, shape)
        found.append(Alternative(server=j, route=route, step_s=step_s))
    return tuple(sorted(found, key=lambda a: (a.step_s, a.server)))
