"""Methods and routers by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.errors import ScenarioError
from ..core.problem import Problem
from ..placement.cg_bp import CgBp
from ..placement.chains import Chains
from ..placement.manual import manual
from ..placement.petals import PetalsRule, PetalsTuned
from ..placement.resilience import honoured
from ..placement.search.solve import solve_search
from ..placement.whole_model import whole_model
from ..routing.api import RouterFactory
from ..routing.free import FastestFree
from ..routing.jffc import Jffc
from ..routing.offline import Shortest
from ..routing.petals import PetalsRouting
from ..routing.threshold import LeastResponse
from ..routing.ws_rr import WsRr
from .draft import Draft, Make, Settings, placed, solved
from .programme import ROUTER, milp

ROUTERS: dict[str, RouterFactory] = {
    "ws-rr": WsRr,
    "jffc": Jffc,
    "fastest-free": FastestFree,
    "least-response": LeastResponse,
    "shortest": Shortest,
    "petals": PetalsRouting(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How blocks are placed and how requests are routed.

    Attributes
    ----------
    make : the decision itself.
    router : router to use in place of the method's own, or None.
    random_order : the result depends on the order in which servers join; comparisons average
        over several orders.
    """

    name: str
    make: Make
    note: str
    router: str | None = None
    random_order: bool = False

    def __call__(self, problem: Problem, settings: Settings) -> Draft:
        """The decision, moved where constraints ask for it, with the router that was asked for."""
        draft = self.make(problem, settings)
        placement = honoured(problem, draft.placement, seed=settings.seed)
        if placement is not draft.placement:
            note = "servers were moved after planning to meet the constraints"
            draft = replace(
                draft,
                placement=placement,
                routes=None,
                certificate=None,
                notes=(*draft.notes, note),
            )
        return draft if self.router is None else replace(draft, router=self.router)


def _exact(problem: Problem, settings: Settings) -> Draft:
    from ..placement.exact.solve import solve_exact  # HiGHS is slow to load

    return solved(solve_exact, ROUTER)(problem, settings)


def _auto(problem: Problem, settings: Settings) -> Draft:
    from .auto import auto  # needs scenarios, which load a validator

    return auto(problem, settings, ROUTERS)


def _builtin() -> tuple[Method, ...]:
    return (
        Method(
            name="auto",
            make=_auto,
            note="the best of several ways to place and route, simulated on this workload",
        ),
        Method(
            name="petals",
            make=placed(PetalsRule(), "petals"),
            note="PETALS as shipped: own block choice, 4096 cache tokens, own routing",
            random_order=True,
        ),
        Method(
            name="petals-tuned",
            make=placed(PetalsTuned(), "petals"),
            note="PETALS with --attn_cache_tokens set for this load",
            random_order=True,
        ),
        Method(
            name="cg-bp",
            make=placed(CgBp(), "ws-rr"),
            note="CG-BP placement, WS-RR routing (arXiv 2512.21884)",
        ),
        Method(
            name="chains",
            make=placed(Chains(), "jffc"),
            note="GBP-CR, GCA and JFFC, chosen by the bound (arXiv 2604.14993)",
        ),
        Method(
            name="exact",
            make=_exact,
            note="column generation with a bound that holds at any instant",
        ),
        Method(
            name="search",
            make=solved(solve_search, ROUTER),
            note="large-neighbourhood search over placement and routes, with a bound",
        ),
        Method(
            name="milp",
            make=milp,
            note="the mixed-integer programme of arXiv 2512.21884",
        ),
        Method(
            name="whole-model",
            make=placed(whole_model, "ws-rr"),
            note="the whole model on every server that can hold it",
        ),
        Method(
            name="manual",
            make=placed(manual, "ws-rr"),
            note="the spans that the scenario file gives",
        ),
    )


METHODS: dict[str, Method] = {m.name: m for m in _builtin()}
DEFAULT_COMPARISON = ("petals", "petals-tuned", "cg-bp", "auto")


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
    require_router(router)
    return replace(method, name=f"{name} + {router}", router=router)


def require_router(name: str) -> RouterFactory:
    """A built-in router.

    Raises
    ------
    ScenarioError
        For a name that does not exist, listing those that do.
    """
    if name not in ROUTERS:
        raise ScenarioError.single("--router", f"no router {name!r}; there are {_list(ROUTERS)}")
    return ROUTERS[name]


def _list(names: dict[str, Method] | dict[str, RouterFactory]) -> str:
    return ", ".join(names)
