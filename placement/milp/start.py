"""From a placement to routes for every session, and from solver values to a plan."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ...chains.graph import build_graph, session_bytes, step_costs_s
from ...chains.shortest import shortest
from ...core.plan import Hop, Placement, PlannedRoute, Route
from ...perfmodel.cost import CostModel
from .formulation import SOURCE, Bundle, Model


def paths_on(
    cost: CostModel, bundles: Sequence[Bundle], placement: Placement
) -> list[PlannedRoute] | None:
    """One route for each bundle in turn, the cheapest that still has memory; None if one fails.

    Routes of like bundles come in order of their first server, as the programme has them.
    """
    graph = build_graph(cost, placement)
    free = cost.room_bytes(placement.start, placement.end)
    paths = []
    for bundle in bundles:
        client, tokens = bundle.demand.client, bundle.sessions * bundle.demand.cache_tokens
        steps, leave = step_costs_s(cost, graph, cost.planned(client))
        fits = session_bytes(cost, graph, tokens) <= free[graph.server]
        links, _ = shortest(graph, np.where(fits, steps, np.inf), leave)
        if not links:
            return None
        route = graph.route(links)
        for hop in route.hops:
            free[hop.server] -= cost.cache_bytes(tokens, hop.start, hop.end)
        paths.append(PlannedRoute(client=client, sessions=bundle.sessions, route=route))
    grouped = itertools.groupby(zip(bundles, paths, strict=True), key=lambda pair: pair[0])
    return [
        path
        for _, group in grouped
        for path in sorted((p for _, p in group), key=lambda p: p.route.servers[0])
    ]


def route_of(placement: Placement, servers: Sequence[int]) -> Route:
    """The route over ``servers`` in order; each runs from where the last ended to its own end."""
    hops, position = [], 0
    for j in servers:
        end = int(placement.end[j])
        hops.append(Hop(server=j, start=position, end=end))
        position = end
    return Route(hops=tuple(hops))


def merged(paths: Sequence[PlannedRoute]) -> tuple[PlannedRoute, ...]:
    """Equal routes of a client counted together, in order of first appearance."""
    count: Counter[tuple[int, Route]] = Counter()
    for p in paths:
        count[p.client, p.route] += p.sessions
    return tuple(PlannedRoute(client=c, sessions=s, route=r) for (c, r), s in count.items())


def extract(model: Model, values: Mapping[str, float]) -> tuple[Placement, list[PlannedRoute]]:
    """Placement and one route for each bundle from solver values, integers rounded."""
    spans = []
    for start, blocks in zip(model.start, model.blocks, strict=True):
        first = round(values[start.name])
        spans.append((first, first + round(values[blocks.name])))
    placement = model.cost.placed(spans)
    following: dict[tuple[int, int], int] = {
        (r, i): j for (r, i, j), use in model.uses.items() if values[use.name] > 0.5
    }
    paths = []
    for r, bundle in enumerate(model.bundles):
        servers: list[int] = []
        node = SOURCE
        while (node := following.get((r, node), model.sink)) != model.sink:
            if node in servers:
                break  # a cycle: found invalid by ``defects``
            servers.append(node)
        paths.append(
            PlannedRoute(
                client=bundle.demand.client,
                sessions=bundle.sessions,
                route=route_of(placement, servers),
            )
        )
    return placement, paths
