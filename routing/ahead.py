"""Routes for R sessions that begin at once, decided together: who shares a server counts.

What ``joint`` is to requests, this is to a plan. docs/model.md 13.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from ..core.plan import Placement, PlannedRoute, Route
from ..core.workload import Demand, Request
from ..perfmodel.contention import Pace
from ..perfmodel.cost import CostModel
from .api import SlotRouter
from .joint import MOST_REQUESTS, Joint
from .offline import best_routes
from .state import SwarmState
from .within import within_budgets

#: Nobody is held back: all are to run at once.
NO_HOLD = 1e6


def routes_together(
    cost: CostModel, placement: Placement, demand: Sequence[Demand]
) -> tuple[tuple[PlannedRoute, ...], dict[int, int]]:
    """Chains for all sessions of the demand at once, for the least time of all of them.

    Returns, Raises
    ---------------
    As ``offline.best_routes``, which looks at each session as if it were alone.
    """
    router = within_budgets(partial(Joint, hold=NO_HOLD), cost, placement)
    assert isinstance(router, SlotRouter)
    state = SwarmState(cost, placement)
    asked = list(_requests(cost, demand))
    taken: Counter[tuple[int, Route]] = Counter()
    full: Counter[int] = Counter()
    for first in range(0, len(asked), MOST_REQUESTS):
        slot = asked[first : first + MOST_REQUESTS]
        for request, decision in zip(slot, router.assign(slot, state, 0.0), strict=True):
            if decision is None:
                full[request.client] += 1
                continue
            taken[request.client, decision.route] += 1
            pace = _pace(cost, request, decision.route)
            state.reserve(request.id, decision.route, request.reserved_tokens, 0.0, pace=pace)
    for one in demand:
        if full[one.client] == one.sessions:
            best_routes(cost, placement, [one])  # says why there is none, or that others took it
    planned = sorted(taken.items(), key=lambda found: (found[0][0], -found[1]))
    routes = (
        PlannedRoute(client=client, sessions=count, route=route)
        for (client, route), count in planned
    )
    return tuple(routes), dict(sorted(full.items()))


def _requests(cost: CostModel, demand: Sequence[Demand]) -> Iterator[Request]:
    """The sessions, the clients in turn: those with many left first."""
    planning = cost.problem.planning
    left, number = {d.client: d.sessions for d in demand}, 0
    tokens = {d.client: d.cache_tokens for d in demand}
    while any(left.values()):
        client = max(left, key=lambda c: (left[c], -c))
        left[client] -= 1
        yield Request(
            id=number,
            client=client,
            arrival_s=0.0,
            prompt_tokens=planning.prompt_tokens,
            output_tokens=planning.output_tokens,
            reserved_tokens=tokens[client],
            expected_tokens=planning.output_tokens,
        )
        number += 1


def _pace(cost: CostModel, request: Request, route: Route) -> Pace:
    """What is expected of a session that begins now."""
    shape = cost.planned(request.client, route)
    time = cost.route_time(route, shape)
    work = [float(cost.step_work_s(shape, h.server, h.start, h.end)) for h in route.hops]
    return Pace(alone_s=time.tpot_s, work_s=work, steps=shape.steps, from_s=time.ttft_s)
