"""Routers by name: the built-in ones, and those that other packages add."""

from __future__ import annotations

from typing import cast

from ..core.errors import ScenarioError
from ..routing.api import RouterFactory
from ..routing.free import FastestFree
from ..routing.jffc import Jffc
from ..routing.offline import Shortest
from ..routing.petals import PetalsRouting
from ..routing.threshold import LeastResponse
from ..routing.ws_rr import WsRr
from .plugins import Group, added, loaded

ROUTERS: dict[str, RouterFactory] = {
    "ws-rr": WsRr,
    "jffc": Jffc,
    "fastest-free": FastestFree,
    "least-response": LeastResponse,
    "shortest": Shortest,
    "petals": PetalsRouting(),
}
GROUP: Group = "swarmplan.routers"


def router_names() -> tuple[str, ...]:
    """All routers that can be named."""
    return (*ROUTERS, *(name for name in added(GROUP) if name not in ROUTERS))


def router_named(name: str) -> RouterFactory:
    """A router by its name.

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
