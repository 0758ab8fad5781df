"""The exact method, begun with the best plan that is there already."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..chains.soundness import misplaced, unsound
from ..core.errors import NoRouteError, RequestTooLargeError
from ..core.plan import Placement
from ..perfmodel.predict import step_objective_s
from ..placement.exact.solve import solve_exact
from ..placement.task import Task
from ..routing.offline import best_routes
from .draft import Draft, Routed, Settings, solved
from .programme import ROUTER


def exact(task: Task, settings: Settings) -> Draft:
    """Placement and routes at proven least step time, never worse than a plan that is known.

    Raises
    ------
    InfeasibleError, NoSolutionInTimeError
        As ``solve_exact``.
    """
    known = [*_serving(task, settings)]
    best = min(known, key=lambda k: step_objective_s(task.cost, k[1], task.demand), default=None)
    start = [placement for placement, _ in settings.known if _fits(task, placement)]
    placement, routes = best or (start[0] if start else None, ())
    return solved(partial(solve_exact, warm_start=placement, warm_routes=routes), ROUTER)(
        task, settings
    )


def _fits(task: Task, placement: Placement) -> bool:
    return not any(misplaced(task.cost, placement))


def _serving(task: Task, settings: Settings) -> Iterator[Routed]:
    """What is known and serves all sessions: plans as they are, and routed anew."""
    for placement, routes in settings.routed:
        if routes and not unsound(task.cost, placement, routes, task.demand):
            yield placement, routes
    for placement, _ in settings.known:
        if _fits(task, placement):
            try:
                routes, unrouted = best_routes(task.cost, placement, task.demand)
            except (NoRouteError, RequestTooLargeError):
                continue
            if not any(unrouted.values()):
                yield placement, routes
