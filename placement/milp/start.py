"""From a placement to routes for every session, and from solver values to a plan."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ...core.plan import Hop, Placement, PlannedRoute, Route
from ...core.problem import IntArray, Problem
from ...perfmodel.latency import HopCosts, step_time_s
from ..demand import Demand, step_costs
from .formulation import SOURCE, Bundle, Model
from .links import LinkCosts, link_costs


def objective(problem: Problem, demand: Sequence[Demand], routes: Sequence[PlannedRoute]) -> float:
    """Step time summed over the sessions, weighted by tokens, with the shared cost model."""
    weight = {d.client: d.weight_tokens for d in demand}
    plan, costs = problem.planning, HopCosts(problem)
    return float(
        sum(
            p.sessions
            * weight[p.client]
            * step_time_s(
                problem,
                p.client,
                p.route,
                costs(p.client, plan.prompt_tokens, plan.output_tokens),
            )
            for p in routes
        )
    )


def paths_on(
    problem: Problem, bundles: Sequence[Bundle], placement: Placement
) -> list[PlannedRoute] | None:
    """One route for each bundle in turn, the cheapest that still has memory; None if one fails.

    Routes of like bundles come in order of their first server, as the programme has them.
    """
    free = problem.memory_bytes - problem.block_bytes * placement.num_blocks
    links = {b.demand.client: link_costs(problem, b.demand.client) for b in bundles}
    paths = []
    for bundle in bundles:
        need = bundle.sessions * bundle.demand.cache_bytes
        route = _cheapest(problem, links[bundle.demand.client], placement, free // need)
        if route is None:
            return None
        for hop in route.hops:
            free[hop.server] -= need * len(hop)
        paths.append(
            PlannedRoute(client=bundle.demand.client, sessions=bundle.sessions, route=route)
        )
    grouped = itertools.groupby(zip(bundles, paths, strict=True), key=lambda pair: pair[0])
    return [
        path
        for _, group in grouped
        for path in sorted((p for _, p in group), key=lambda p: p.route.servers[0])
    ]


def _cheapest(
    problem: Problem, links: LinkCosts, placement: Placement, slots: IntArray
) -> Route | None:
    """Shortest path over servers in order of their ends; a hop of k blocks needs k slots."""
    compute = step_costs(problem).block_s
    start, end = placement.start, placement.end
    order = [int(j) for j in np.argsort(end, kind="stable") if end[j] > start[j]]
    reach: dict[int, tuple[float, int]] = {}
    for j in order:
        ways = [(float(links.enter_s[j]), SOURCE, 0)] if start[j] == 0 else []
        ways += [
            (reach[i][0] + float(links.pass_s[i, j]), i, int(end[i]))
            for i in reach
            if start[j] <= end[i] < end[j]
        ]
        options = [
            (cost + float(compute[j]) * int(end[j] - position), i)
            for cost, i, position in ways
            if end[j] - position <= slots[j]
        ]
        if options:
            reach[j] = min(options)
    length = problem.model.num_blocks
    last = [(reach[j][0] + float(links.leave_s[j]), j) for j in reach if end[j] == length]
    if not last:
        return None
    servers = [min(last)[1]]
    while (before := reach[servers[-1]][1]) != SOURCE:
        servers.append(before)
    return route_of(placement, servers[::-1])


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
    problem = model.problem
    spans = []
    for start, blocks in zip(model.start, model.blocks, strict=True):
        first = round(values[start.name])
        spans.append((first, first + round(values[blocks.name])))
    placement = Placement.of(problem, spans)
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


def defects(
    problem: Problem,
    demand: Sequence[Demand],
    placement: Placement,
    routes: Sequence[PlannedRoute],
) -> list[str]:
    """What is wrong with a plan, in whole blocks and bytes; empty when it is valid."""
    found = []
    cache = {d.client: d.cache_bytes for d in demand}
    used = problem.block_bytes * placement.num_blocks
    for planned in routes:
        position = 0
        for hop in planned.route.hops:
            j = hop.server
            inside = placement.start[j] <= hop.start < hop.end == placement.end[j]
            if hop.start != position or not inside:
                found.append(f"client {planned.client}: server {j} cannot run this hop: {hop}")
            position = hop.end
            used[j] += planned.sessions * cache[planned.client] * len(hop)
        if position != problem.model.num_blocks:
            found.append(f"client {planned.client}: the route ends at block {position}")
    for j in np.flatnonzero(used > problem.memory_bytes).tolist():
        found.append(f"server {j}: {used[j]} bytes used of {problem.memory_bytes[j]}")
    for d in demand:
        served = sum(p.sessions for p in routes if p.client == d.client)
        if served != d.sessions:
            found.append(f"client {d.client}: {served} of {d.sessions} sessions have a route")
    return found
