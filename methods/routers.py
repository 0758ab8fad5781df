"""Routers by name: the built-in ones, and those that other packages add."""

from __future__ import annotations

from functools import partial
from typing import cast

from ..core.errors import ScenarioError
from ..core.names import Quality
from ..core.objective import SERVICE
from ..core.plugins import Group, added, loaded
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..routing.api import RouterFactory
from ..routing.budgeted import OnBudget
from ..routing.flow import ByFlow
from ..routing.free import FastestFree
from ..routing.jffc import Jffc
from ..routing.joint import Joint
from ..routing.maxflow import MaxFlow
from ..routing.offline import Shortest
from ..routing.overlap import Overlap
from ..routing.petals import PetalsRouting
from ..routing.threshold import LeastResponse
from ..routing.within import within_budgets
from ..routing.ws_rr import WsRr

ROUTERS: dict[str, RouterFactory] = {
    "ws-rr": WsRr,
    "jffc": Jffc,
    "fastest-free": FastestFree,
    "least-response": LeastResponse,
    "overlap": Overlap,
    "overlap-slow-down": partial(Overlap, goal=SERVICE["slow-down"]),
    "overlap-late": partial(Overlap, goal=SERVICE["late"]),
    "overlap-fair": partial(Overlap, goal=SERVICE["fair"]),
    "joint": Joint,
    "budgeted": OnBudget,
    "flow": ByFlow,
    "max-flow": MaxFlow,
    "shortest": Shortest,
    "petals": PetalsRouting(),
}
GROUP: Group = "swarmplan.routers"


#: A router's name, or what makes one of costs and a placement.
AnyRouter = str | RouterFactory


def router_of(given: AnyRouter) -> RouterFactory:
    """What makes a router, by its name or itself."""
    return router_named(given) if isinstance(given, str) else partial(within_budgets, given)


def router_name(given: AnyRouter) -> str:
    """What a router is called in results."""
    return given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)


def router_for(name: str, quality: Quality) -> str:
    """The router of a name, made for what is asked of service where there is such a one."""
    made = f"{name}-{quality}"
    return made if made in ROUTERS else name


def router_names() -> tuple[str, ...]:
    """All routers that can be named."""
    return (*ROUTERS, *(name for name in added(GROUP) if name not in ROUTERS))


def router_named(name: str) -> RouterFactory:
    """A router by its name; the clients' budgets of accuracy are kept whichever it is.

    Raises
    ------
    ScenarioError
        As ``unguarded``.
    """
    return partial(within_budgets, unguarded(name))


def fits(name: str, problem: Problem) -> None:
    """Refuse a router for which a scenario lacks something, before anything is planned.

    Raises
    ------
    ScenarioError
        As ``unguarded``, and as the router's, naming the field that is missing.
    """
    make = unguarded(name)
    if name in ROUTERS:  # those of others need not understand that nobody hosts anything
        cost = CostModel.of(problem)
        make(cost, cost.placed([(0, 0)] * problem.num_servers))


def racing_routers(problem: Problem) -> tuple[str, ...]:
    """The built-in routers for which a scenario has all that they need."""
    return tuple(name for name in ROUTERS if is_fitting(name, problem))


def is_fitting(name: str, problem: Problem) -> bool:
    """Whether a scenario has all that a router needs."""
    try:
        fits(name, problem)
    except ScenarioError:
        return False
    return True


def unguarded(name: str) -> RouterFactory:
    """The router of a name itself, which knows of no budgets.

    Raises
    ------
    ScenarioError
        For a name that does not exist, listing those that do.
    """
    if name in ROUTERS:
        return ROUTERS[name]
    if name in added(GROUP):
        return cast("RouterFactory", loaded(GROUP, name))
    known = ", ".join(router_names())
    raise ScenarioError.single("--router", f"no router {name!r}; there are {known}")
