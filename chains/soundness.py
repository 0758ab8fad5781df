"""Whether a placement fits and its routes run on it: in whole blocks and bytes, without a solver.

The one checker of placements and routes: solvers hold their plans against it, and the verifier of
whole plans (methods.verify) is built on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.accuracy import SAME_HARM
from ..core.findings import Finding
from ..core.names import blocks
from ..core.needs import needs
from ..core.plan import Placement, PlannedRoute
from ..core.workload import Demand
from ..perfmodel.cost import CostModel


def unsound(
    cost: CostModel,
    placement: Placement,
    routes: Sequence[PlannedRoute],
    demand: Sequence[Demand],
) -> tuple[Finding, ...]:
    """What is wrong with a plan that should serve a demand; () when it is sound."""
    tokens = {d.client: d.cache_tokens for d in demand}
    found = [*misplaced(cost, placement)]
    if not found:
        found += [*misrouted(cost, placement, routes), *overfull(cost, placement, routes, tokens)]
    if not found:
        found += [*overharmed(cost, routes), *unadapted(cost, routes)]
    wanted = {d.client: d.sessions for d in demand}
    for client in sorted({*wanted, *(r.client for r in routes)}):
        served = sum(r.sessions for r in routes if r.client == client)
        if served != wanted.get(client, 0):
            message = f"{served} of {wanted.get(client, 0)} sessions have a route"
            found.append(Finding(where=f"client row {client}", message=message))
    return tuple(found)


def misplaced(cost: CostModel, placement: Placement) -> Iterator[Finding]:
    """Spans outside the model, too many blocks, weights and pools beyond the memory."""
    yield from outside(cost, placement)
    yield from oversized(cost, placement)


def outside(cost: CostModel, placement: Placement) -> Iterator[Finding]:
    """What is no span of blocks of the model; nothing else can be asked of such a placement."""
    problem, length = cost.problem, cost.num_blocks
    start, end = placement.start, placement.end
    if not _complete(cost, placement):
        message = f"lists {len(start)} servers, the scenario has {problem.num_servers}"
        yield Finding(where="placement", message=message)
        return
    for j in np.flatnonzero(~_inside(cost, placement)).tolist():
        message = f"blocks {blocks(start[j], end[j])} are not within {blocks(0, length)}"
        yield Finding(where=f"placement of {problem.servers[j].id}", message=message)


def oversized(cost: CostModel, placement: Placement) -> Iterator[Finding]:
    """Spans of the model with too many blocks, or with weights and pools beyond the memory."""
    if not _complete(cost, placement):
        return
    problem, pool, inside = cost.problem, placement.cache_bytes, _inside(cost, placement)
    start, end = (np.where(inside, ends, 0) for ends in (placement.start, placement.end))
    count, left = end - start, cost.room_bytes(start, end)
    # Compared without a sum: a file may ask for more than an integer of 64 bits holds.
    for j in np.flatnonzero((count > problem.max_blocks) | (pool < 0) | (pool > left)).tolist():
        where = f"placement of {problem.servers[j].id}"
        if count[j] > problem.max_blocks[j]:
            message = f"{count[j]} blocks, at most {problem.max_blocks[j]} allowed"
            yield Finding(where=where, message=message)
        if pool[j] < 0:
            message = f"negative cache pool of {pool[j]} bytes"
            yield Finding(where=where, message=message)
        elif pool[j] > left[j]:
            memory = int(problem.memory_bytes[j])
            used = memory - int(left[j]) + int(pool[j])
            message = (
                f"{count[j]} blocks and a cache pool of {pool[j] / 1e9:.3f} GB take "
                f"{used / 1e9:.3f} GB, the server has {memory / 1e9:.3f} GB"
            )
            yield Finding(where=where, message=message)


def _complete(cost: CostModel, placement: Placement) -> bool:
    """Whether every server has an entry."""
    columns = (placement.start, placement.end, placement.cache_bytes)
    return {len(column) for column in columns} == {cost.problem.num_servers}


def _inside(cost: CostModel, placement: Placement) -> NDArray[np.bool_]:
    """(n,) spans that are spans of the model."""
    start, end = placement.start, placement.end
    return np.asarray((start >= 0) & (start <= end) & (end <= cost.num_blocks))


def uncovered(cost: CostModel, placement: Placement) -> Iterator[Finding]:
    """Blocks that no server hosts."""
    for block in np.flatnonzero(placement.coverage(cost.num_blocks) == 0).tolist():
        yield Finding(where=f"block {block}", message="no server hosts it")


def misrouted(
    cost: CostModel, placement: Placement, routes: Sequence[PlannedRoute]
) -> Iterator[Finding]:
    """Routes that do not tile the model inside the placement by PETALS' rule.

    The rule: enter a span anywhere, leave it at its end, no server twice.
    """
    for number, planned in enumerate(routes):
        where = f"routes[{number}]"
        if not 0 <= planned.client < len(cost.problem.clients):
            yield Finding(where=where, message=f"unknown client row {planned.client}")
        if planned.sessions < 1:
            yield Finding(where=where, message=f"{planned.sessions} sessions")
        for message in _hops(cost, placement, planned):
            yield Finding(where=where, message=message)


def _hops(cost: CostModel, placement: Placement, planned: PlannedRoute) -> Iterator[str]:
    at, seen = 0, set[int]()
    for hop in planned.route.hops:
        if not 0 <= hop.server < cost.problem.num_servers:
            yield f"unknown server row {hop.server}"
            return
        name = cost.problem.servers[hop.server].id
        start, end = int(placement.start[hop.server]), int(placement.end[hop.server])
        if hop.server in seen:
            yield f"passes {name} twice"
        seen.add(hop.server)
        if hop.start != at:
            yield f"enters {name} at block {hop.start}, but is at block {at}"
        if not start <= hop.start < hop.end <= end:
            yield f"runs blocks {hop} at {name}, which hosts {blocks(start, end)}"
        elif hop.end != end:
            yield f"leaves {name} at block {hop.end}, a request runs to the span's end {end}"
        at = hop.end
    if at != cost.num_blocks:
        yield f"ends at block {at}, the model has {cost.num_blocks}"


def overfull(
    cost: CostModel,
    placement: Placement,
    routes: Sequence[PlannedRoute],
    tokens: Mapping[int, int] | None = None,
) -> Iterator[Finding]:
    """Pools that do not hold all planned sessions at once.

    Parameters
    ----------
    tokens : cache tokens of a session by client; the planned ones where a client is not named.
    """
    problem = cost.problem
    held = [0] * problem.num_servers  # Python's integers: a file may ask for more than 2^63
    for planned in routes:
        each = (tokens or {}).get(planned.client, problem.planning.session_tokens)
        for hop in planned.route.hops:
            # A hop outside the model is told already.
            if (
                0 <= hop.server < problem.num_servers
                and 0 <= hop.start < hop.end <= cost.num_blocks
            ):
                need = int(cost.cache_bytes(each, hop.start, hop.end))
                held[hop.server] += planned.sessions * need
    for j, (taken, pool) in enumerate(zip(held, placement.cache_bytes.tolist(), strict=True)):
        if taken > pool:
            message = (
                f"the planned sessions hold {taken / 1e9:.3f} GB of cache, the pool has "
                f"{pool / 1e9:.3f} GB"
            )
            yield Finding(where=f"cache of {problem.servers[j].id}", message=message)


def overharmed(cost: CostModel, routes: Sequence[PlannedRoute]) -> Iterator[Finding]:
    """Routes of the model whose precisions cost more accuracy than their clients bear."""
    for number, planned in enumerate(routes if cost.budgeted else ()):
        hops = planned.route.hops
        if not 0 <= planned.client < len(cost.budgets) or not all(
            0 <= h.server < cost.problem.num_servers and 0 <= h.start < h.end <= cost.num_blocks
            for h in hops
        ):
            continue  # told already
        harm, most = cost.route_harm(planned.route), float(cost.budgets[planned.client])
        if harm > most + SAME_HARM:
            message = f"harm {harm:.6g}, at most {most:.6g} allowed (accuracy)"
            yield Finding(where=f"routes[{number}]", message=message)


def unadapted(cost: CostModel, routes: Sequence[PlannedRoute]) -> Iterator[Finding]:
    """Routes over servers that do not load the adapter that their clients ask for, or are there for
    others."""
    for number, planned in enumerate(routes if cost.adapted else ()):
        if not 0 <= planned.client < len(cost.lacking):
            continue  # told already
        adapter = cost.problem.clients[planned.client].adapter
        for server in planned.route.servers:
            if server in cost.lacking[planned.client]:
                own = cost.problem.servers[server]
                message = f"{own.id} does not load adapter {adapter!r}"
                if own.only and cost.problem.clients[planned.client].id not in own.only:
                    message = f"{own.id} does not serve {cost.problem.clients[planned.client].id}"
                yield Finding(where=f"routes[{number}]", message=message)


def unmet(cost: CostModel, placement: Placement) -> Iterator[Finding]:
    """Every demand of the constraints that a placement within the model does not meet.

    A server counts as a host when its pool holds at least one planned session on all its blocks.
    """
    problem, length = cost.problem, cost.num_blocks
    asked = problem.planning.constraints
    start, end = placement.start, placement.end
    serves = placement.cache_bytes >= cost.session_bytes(start, end)
    for need in needs(problem) if asked.shapes_placement else ():
        short = np.flatnonzero(need.missing(start, np.where(serves, end, start), length))
        if len(short):
            where = f"blocks {blocks(short[0], short[-1] + 1)}"
            message = f"{len(short)} of {length} blocks lack servers for: {need.what}"
            yield Finding(where=where, message=message)
    for span in asked.pinned:
        has = (int(start[span.server]), int(end[span.server]))
        if has != (span.start, span.end) and (has[1] > has[0] or span.end > span.start):
            where = f"placement of {problem.servers[span.server].id}"
            message = f"hosts blocks {blocks(*has)}, is pinned to {blocks(span.start, span.end)}"
            yield Finding(where=where, message=message)
    for span in asked.forbidden:
        first, last = max(start[span.server], span.start), min(end[span.server], span.end)
        if first < last:
            where = f"placement of {problem.servers[span.server].id}"
            yield Finding(where=where, message=f"hosts forbidden blocks {blocks(first, last)}")
