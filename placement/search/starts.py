"""First plans of the search: a given placement, insertion in several orders, CG-BP."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from ...core.errors import HeuristicFailedError, SwarmplanWarning
from ...core.plan import Placement, PlannedRoute
from ..rules.cg_bp import place_blocks
from .moves import Manner, repair
from .state import Instance, State


def starts(
    instance: Instance,
    given: Placement | None,
    routes: Sequence[PlannedRoute],
    rng: np.random.Generator,
) -> Iterator[State]:
    """States in order of what they cost to make; sessions that find no chain stay pending."""
    total = sum(d.sessions for d in instance.demand)
    if routes:
        yield on_routes(instance, routes, rng)
    if given is not None:
        yield on_placement(instance, given, rng)
    rows = sorted(range(len(instance.demand)), key=lambda row: -float(instance.alone_s[row]))
    for whole, head in ((True, 1), (True, total), (False, 1)):
        for order in (rows, rows[::-1], rng.permutation(rows).tolist()):
            state = State(instance)
            state.pending = [(row, instance.demand[row].sessions) for row in order]
            repair(state, Manner(whole=whole, head=head), rng)
            yield state
            if len(rows) == 1:
                break
    for sessions in sorted({total, max(1, total // 2), max(1, total // 4)}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SwarmplanWarning)
            try:
                placement = place_blocks(instance.cost, sessions)
            except HeuristicFailedError:
                continue
        yield on_placement(instance, placement, rng)


def on_routes(
    instance: Instance, routes: Sequence[PlannedRoute], rng: np.random.Generator
) -> State:
    """The plan of these routes; sessions that do not fit, or have no route, get chains anew."""
    state = State(instance)
    rows = {d.client: row for row, d in enumerate(instance.demand)}
    left = {row: d.sessions for row, d in enumerate(instance.demand)}
    for planned in routes:
        row = rows.get(planned.client)
        chain = tuple((h.server, h.start, h.end) for h in planned.route.hops)
        if row is None or any(
            state.end[j] not in (0, e) or e - b > instance.reach[j, e] for j, b, e in chain
        ):
            continue
        count = min(planned.sessions, left[row], state.room(row, chain))
        if count > 0:
            state.add(instance.batch(row, count, chain))
            left[row] -= count
    state.pending = [(row, count) for row, count in left.items() if count]
    repair(state, Manner(), rng)
    return state


def on_placement(instance: Instance, placement: Placement, rng: np.random.Generator) -> State:
    """The sessions routed over a placement; those without room there get chains of their own.

    What no chain runs is dropped from the spans.
    """
    state = State(instance)
    blocks = np.minimum(placement.num_blocks, instance.cost.problem.max_blocks)
    fits = blocks <= instance.reach[np.arange(len(blocks)), placement.end]
    fits[list(instance.pinned)] = False
    state.end[fits], state.blocks[fits] = placement.end[fits], blocks[fits]
    order = rng.permutation(len(instance.demand)).tolist()
    state.pending = [(row, instance.demand[row].sessions) for row in order]
    repair(state, Manner(whole=False, fixed=True), rng)
    routed = State(instance)
    routed.pending = state.pending
    for batch in state.batches:
        routed.add(batch)
    repair(routed, Manner(), rng)
    return routed
