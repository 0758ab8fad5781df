"""Time per token against accuracy: what every budget of accuracy buys."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.errors import InfeasibleError
from ..core.plan import Placement, PlannedRoute, Route
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..placement.precise.menu import Menu
from ..placement.precise.solve import frontier
from ..placement.sessions import task_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Tradeoff:
    """One chain for all planned sessions.

    Attributes
    ----------
    step_s : time per token, mean over the sessions; ``harm`` of the chain.
    """

    step_s: float
    harm: float
    placement: Placement
    routes: tuple[PlannedRoute, ...]


def tradeoffs(problem: Problem, sessions: int | None = None) -> tuple[Tradeoff, ...]:
    """Chains for all planned sessions together that no other one beats in time and accuracy.

    Fastest first. Budgets do not count: every one of them is answered by some point.

    Parameters
    ----------
    sessions : R; derived when left out.

    Raises
    ------
    InfeasibleError
        If no chain holds all sessions at any precision.
    """
    task = task_of(problem.at_lightest(), sessions=sessions)
    menu, found = Menu.of(task), []
    for point in frontier(task):
        settled, placement = menu.placed(point.spans)
        route = Route(hops=point.hops)
        routes = tuple(
            PlannedRoute(client=d.client, sessions=d.sessions, route=route) for d in task.demand
        )
        cost: CostModel = settled.cost
        total = sum(r.sessions * cost.step_s(route, cost.planned(r.client, route)) for r in routes)
        found.append(
            Tradeoff(
                step_s=total / task.sessions,
                harm=cost.route_harm(route),
                placement=placement,
                routes=routes,
            )
        )
    if not found:
        raise InfeasibleError(
            f"no chain holds all {task.sessions} planned sessions at any precision: plan for fewer "
            "or shorter sessions, or add servers"
        )
    return tuple(found)
