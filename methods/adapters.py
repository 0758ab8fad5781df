"""Adapters of servers, chosen for any method: its blocks first, then who loads what.

Where the memory that its placement leaves is too small for adapters the method plans again, with
room for some of them on every server. docs/model.md 18.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..chains.compose import client_shares
from ..chains.sustain import sustained, taken_by
from ..core.adapters import Adapter
from ..core.content import FloatArray, IntArray
from ..core.errors import (
    HeuristicFailedError,
    InfeasibleError,
    NoRouteError,
    RequestTooLargeError,
    SwarmplanWarning,
)
from ..core.objective import MEAN_RESPONSE, P95_RESPONSE, STEP, Objective
from ..core.plan import Certificate, Placement, PlannedRoute, Route
from ..core.problem import Problem
from ..perfmodel.adapters import largest_first, setting_aside
from ..perfmodel.cost import CostModel
from ..placement.adapters import Dealing, Lane, Loads, loads, times_s
from ..placement.rules.cg_bp import cg_bp
from ..placement.task import Task
from ..routing.offline import best_routes
from ..workload.mix import mix_of
from .certify import remeasured
from .draft import Draft, Settings

#: Servers may be used for this share, or this much more than where every adapter is everywhere.
BUSY, MORE = 0.7, 0.05
#: Of the time that is left, how much choosing may take, and one attempt of the method.
CHOICE_SHARE, ATTEMPT_SHARE = 0.2, 0.7
#: Said where the method's own plans leave no room.
BY_CG_BP = "blocks are placed by CG-BP: the method's own plans leave no memory for the adapters"


def adapted(decide: Callable[[Task, Settings], Draft], task: Task, settings: Settings) -> Draft:
    """A method's plan with the adapters of its servers.

    How much memory has to be set aside is tried on CG-BP's placements, which take no time; the
    method plans with so much first. Where its plans leave too little however much is set aside,
    CG-BP's stands.

    Raises
    ------
    HeuristicFailedError
        If no memory is left for the adapters however much of it is set aside. Else what ``decide``
        raises where nothing is set aside.
    """
    levels = list(_reserves(task.problem))
    first, fallback = _fast(task, levels)
    for number, reserved in enumerate(levels[first:], start=first):
        set_aside = _reserving(task, reserved)
        limited = replace(set_aside, deadline=task.deadline.share(ATTEMPT_SHARE))
        try:
            draft = decide(limited, settings)
        except (HeuristicFailedError, InfeasibleError, NoRouteError, RequestTooLargeError):
            if not reserved:
                raise
            break  # more room for adapters leaves even less for blocks
        placement = with_loads(task, _given_back(task, set_aside, draft.placement))
        if placement is not None:
            return _told(draft, placement, task, exact=not reserved)
        if number > first and task.deadline.passed:
            break
    if fallback is not None:
        draft = Draft(placement=fallback, router="ws-rr", notes=(BY_CG_BP,))
        return _told(draft, fallback, task, exact=False)
    names = ", ".join(task.problem.asked_adapters[:8])
    raise HeuristicFailedError(
        f"no placement was found that leaves memory for the adapters {names} on a chain of each, "
        "which proves nothing: plan for fewer or shorter sessions, or add servers"
    )


def _fast(task: Task, levels: Sequence[tuple[Adapter, ...]]) -> tuple[int, Placement | None]:
    """The least that is to be set aside for CG-BP's placement to have room for the adapters, and
    that placement; nothing, and None, where it has room for none."""
    for number, reserved in enumerate(levels):
        set_aside = _reserving(task, reserved)
        try:
            with warnings.catch_warnings():  # of servers too small for a block: told elsewhere
                warnings.simplefilter("ignore", SwarmplanWarning)
                placed = cg_bp(set_aside)
        except (HeuristicFailedError, InfeasibleError):
            return 0, None
        placement = with_loads(task, _given_back(task, set_aside, placed))
        if placement is not None:
            return number, placement
    return 0, None


def _given_back(task: Task, set_aside: Task, placement: Placement) -> Placement:
    """The placement with pools that have the memory that was set aside for adapters."""
    if set_aside is task:
        return placement
    spans = placement.start, placement.end
    problems = placement.settled(task.problem), placement.settled(set_aside.problem)
    plain, heavy = (CostModel.of(problem).room_bytes(*spans) for problem in problems)
    return replace(placement, cache_bytes=placement.cache_bytes + plain - heavy)


def with_loads(task: Task, placement: Placement) -> Placement | None:
    """A placement with adapters on its servers, None where its spare memory is too small."""
    problem = placement.settled(task.problem)
    cost = CostModel.of(problem)
    try:
        routes, _ = best_routes(cost, placement, task.demand)
    except (NoRouteError, RequestTooLargeError):
        return None
    deadline = task.deadline.share(CHOICE_SHARE)
    for dealing in _dealings(cost, placement, routes, task.sessions):
        found = loads(cost, placement, dealing, deadline)
        if found is not None:
            return _loaded(problem, placement, found)
    return None


def _loaded(problem: Problem, placement: Placement, found: Loads) -> Placement:
    """The same spans with these adapters; pools shrink where they need the memory."""
    cost = CostModel.of(problem.with_adapters(found))
    pool = np.minimum(placement.cache_bytes, cost.room_bytes(placement.start, placement.end))
    return replace(placement, cache_bytes=np.maximum(pool, 0), adapters=tuple(found))


def _dealings(
    cost: CostModel, placement: Placement, routes: Sequence[PlannedRoute], sessions: int
) -> Iterator[Dealing]:
    """What is to be dealt out: with servers used moderately, in full, beyond what they have; with
    room for the planned sessions as long as that is possible."""
    mix, n = mix_of(cost.problem), cost.problem.num_servers
    full = sustained(cost, placement, mix)
    rate = min(cost.problem.workload.rate_per_s, full.rate_per_s)
    chains = list(dict.fromkeys([f.route for f in full.flows] + [r.route for r in routes]))
    lanes = tuple(
        Lane(
            route=route,
            use=np.concatenate([rate * use, _planned(cost, placement, route, sessions)]),
        )
        for route, use in zip(chains, taken_by(cost, placement, mix, chains), strict=True)
    )
    share = client_shares(cost.problem)
    part = rate / full.rate_per_s if full.rate_per_s else 0.0
    used = np.concatenate([full.compute_frac, full.cache_frac]) * part
    spare = placement.cache_bytes - _held(cost, routes, n)
    whole = Dealing(
        lanes=lanes,
        share=share,
        time_s=times_s(cost, share, lanes),
        most=np.concatenate([np.maximum(BUSY, (1.0 + MORE) * used), np.ones(n)]),
        spare_bytes=spare,
    )
    yield whole
    yield replace(whole, most=np.concatenate([np.maximum(1.0, used), np.ones(n)]))
    yield replace(whole, most=np.concatenate([np.full(2 * n, np.inf), np.ones(n)]))
    yield replace(whole, most=np.full(3 * n, np.inf))


def _planned(cost: CostModel, placement: Placement, route: Route, sessions: int) -> FloatArray:
    """(n,) of every pool what all planned sessions hold if they take a chain."""
    held = np.zeros(cost.problem.num_servers)
    for hop in route.hops:
        pool = max(1, int(placement.cache_bytes[hop.server]))
        held[hop.server] = sessions * int(cost.session_bytes(hop.start, hop.end)) / pool
    return held


def _held(cost: CostModel, routes: Sequence[PlannedRoute], servers: int) -> IntArray:
    """(n,) cache of the planned sessions."""
    held = np.zeros(servers, dtype=np.int64)
    for planned in routes:
        for hop in planned.route.hops:
            held[hop.server] += planned.sessions * int(cost.session_bytes(hop.start, hop.end))
    return held


def _reserves(problem: Problem) -> Iterator[tuple[Adapter, ...]]:
    """Adapters to leave room for on every open server: none, the largest, twice as many, all."""
    asked = largest_first(problem)
    yield ()
    count = 1
    while count < len(asked):
        yield asked[:count]
        count *= 2
    yield asked


def _reserving(task: Task, adapters: Sequence[Adapter]) -> Task:
    """The task where blocks of open servers take so much more memory."""
    if not adapters:
        return task
    return task.on(setting_aside(task.problem, adapters))


def _told(draft: Draft, placement: Placement, task: Task, *, exact: bool) -> Draft:
    """The draft with its adapters, measured anew where its figure was simulated.

    Bounds were made as if adapters took no memory and were everywhere: they hold.
    """
    count = sum(len(own) for own in placement.adapters)
    servers = sum(bool(own) for own in placement.adapters)
    asked = len(task.problem.asked_adapters)
    note = f"adapters: {asked} asked for, loaded {count} times on {servers} servers"
    proof = draft.certificate if exact else _bounded(task)
    if task.goal in (MEAN_RESPONSE, P95_RESPONSE):
        proof = remeasured(draft, placement, task)
    elif task.goal != STEP:
        proof = None
    return draft.moved(placement, proof, note)


def _bounded(task: Task) -> Certificate | None:
    """What bounds the step time of every plan where precisions are open too; else the plan itself
    is held against what bounds it."""
    if task.goal != STEP or not task.is_open:
        return None
    from ..placement.precise.solve import LABELS, alone_bound_s  # HiGHS is slow to load

    return Certificate(objective=Objective(goal=STEP, bound=alone_bound_s(task)), proof=LABELS)
