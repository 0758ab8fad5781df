"""Methods by name: a placer, a router, and what to know about them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.errors import ScenarioError
from ..placement.api import Placer
from ..placement.cg_bp import CgBp
from ..placement.manual import manual
from ..placement.petals import PetalsRule, PetalsTuned
from ..placement.whole_model import whole_model
from ..routing.api import RouterFactory
from ..routing.offline import Shortest
from ..routing.petals import PetalsRouting
from ..routing.ws_rr import WsRr


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How blocks are placed and how requests are routed.

    Attributes
    ----------
    random_order : the result depends on the order in which servers join; comparisons average
        over several orders.
    """

    name: str
    placer: Placer
    router: RouterFactory
    note: str
    random_order: bool = False


def _builtin() -> tuple[Method, ...]:
    return (
        Method(
            name="petals",
            placer=PetalsRule(),
            router=PetalsRouting(),
            note="PETALS as shipped: own block choice, 4096 cache tokens, own routing",
            random_order=True,
        ),
        Method(
            name="petals-tuned",
            placer=PetalsTuned(),
            router=PetalsRouting(),
            note="PETALS with --attn_cache_tokens set for this load",
            random_order=True,
        ),
        Method(
            name="cg-bp",
            placer=CgBp(),
            router=WsRr,
            note="CG-BP placement, WS-RR routing (arXiv 2512.21884)",
        ),
        Method(
            name="whole-model",
            placer=whole_model,
            router=WsRr,
            note="the whole model on every server that can hold it",
        ),
        Method(
            name="manual",
            placer=manual,
            router=WsRr,
            note="the spans that the scenario file gives",
        ),
    )


ROUTERS: dict[str, RouterFactory] = {
    "ws-rr": WsRr,
    "shortest": Shortest,
    "petals": PetalsRouting(),
}

METHODS: dict[str, Method] = {m.name: m for m in _builtin()}
DEFAULT_COMPARISON = ("petals", "petals-tuned", "cg-bp")


def method_named(name: str, router: str | None = None) -> Method:
    """A built-in method, with another router if one is named.

    Raises
    ------
    ScenarioError
        For a name that does not exist, listing those that do.
    """
    if name not in METHODS:
        raise ScenarioError.single("--method", f"no method {name!r}; there are {_list(METHODS)}")
    method = METHODS[name]
    if router is None:
        return method
    if router not in ROUTERS:
        raise ScenarioError.single("--router", f"no router {router!r}; there are {_list(ROUTERS)}")
    return replace(method, name=f"{name} + {router}", router=ROUTERS[router])


def _list(names: dict[str, Method] | dict[str, RouterFactory]) -> str:
    return ", ".join(names)
