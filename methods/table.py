"""Methods by name: the built-in ones, and those that other packages add."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.drafting import NO_USE
from ..core.errors import ScenarioError
from ..core.names import Aim
from ..core.plan import Placement
from ..core.plugins import Group, added, loaded
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..placement.api import Rule
from ..placement.compute import for_load
from ..placement.moves.resilience import honoured
from ..placement.rules.cg_bp import cg_bp
from ..placement.rules.composed import composed
from ..placement.rules.manual import manual
from ..placement.rules.petals import PetalsRule, PetalsTuned
from ..placement.rules.whole_model import whole_model
from ..placement.search.solve import solve_search
from ..placement.task import Task
from .draft import Draft, Make, Settings, placed, solved
from .programme import ROUTER, milp
from .routers import router_named

GROUP: Group = "swarmplan.methods"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How blocks are placed and how requests are routed.

    Attributes
    ----------
    make : the decision itself.
    aim : what it works for where nothing else is asked.
    router : router to use in place of the method's own, or None.
    joint : where precisions are to be chosen it is the joint problem that it solves.
    compute : it plans for compute beside memory.
    drafts : it plans for clients that draft each in its own way. Others know one time of a block
        for all clients, and then plan as if nobody drafted; the plan says so.
    given : the placement that it decides for, where that is there already: precisions are its own.
    random_order : the result depends on the order in which servers join; comparisons average
        over several orders.
    """

    name: str
    make: Make
    note: str = ""
    aim: Aim = "latency"
    router: str | None = None
    random_order: bool = False
    joint: bool = False
    compute: bool = False
    drafts: bool = False
    given: Placement | None = None

    def __call__(self, problem: Problem, settings: Settings) -> Draft:
        """The decision for a problem; see ``decide``."""
        return self.decide(self.task(problem, settings), settings)

    def task(self, problem: Problem, settings: Settings, *, sessions: int | None = None) -> Task:
        """What the method is asked to do; the clock starts here."""
        task = self.plainly(problem, settings, sessions=sessions)
        return for_load(task, sessions=sessions) if self.compute else task

    def plainly(self, problem: Problem, settings: Settings, *, sessions: int | None = None) -> Task:
        """The same for memory alone: nothing is tried on the way."""
        if not self.drafts and not CostModel.of(problem).drafts_alike:
            problem = problem.with_drafts((NO_USE,) * len(problem.drafting))
        if self.given is not None:
            problem = self.given.settled(problem)
        elif problem.chooses_precision:
            problem = problem.at_lightest()
        return settings.task(problem, self.aim, sessions=sessions)

    def decide(self, task: Task, settings: Settings) -> Draft:
        """The decision, moved where constraints ask for it, with the router that was asked for, and
        with the adapters that servers load where those are open."""
        settings = replace(settings, router=self.router)
        if task.problem.chooses_adapters:
            from .adapters import adapted  # HiGHS is slow to load

            return adapted(self._for_all, task, settings)
        return self._for_all(task, settings)

    def _for_all(self, task: Task, settings: Settings) -> Draft:
        """The decision with the servers of single clients, adapters aside."""
        if task.problem.own_devices and self.given is None:
            from .devices import with_devices

            return with_devices(self._decided, task, settings)
        return self._decided(task, settings)

    def _decided(self, task: Task, settings: Settings) -> Draft:
        """The decision for servers that serve everybody."""
        if task.is_open and self.given is None:
            from .precision import chosen  # HiGHS is slow to load

            draft = chosen(None if self.joint else self.make, task, settings)
        else:
            draft = self.make(task, settings)
        placement = honoured(task, draft.placement)
        if placement is not draft.placement:
            note = "servers were moved after planning to meet the constraints"
            draft = replace(
                draft,
                placement=placement,
                routes=None,
                certificate=None,
                notes=(*draft.notes, note),
            )
        if self.router is None or self.router == draft.router:
            return draft
        # What was compared and measured was so with the method's own router.
        return replace(draft, router=self.router, candidates=(), certificate=None)


def _exact(task: Task, settings: Settings) -> Draft:
    from .proven import exact  # HiGHS is slow to load

    return exact(task, settings)


def _auto(task: Task, settings: Settings) -> Draft:
    from .auto import auto  # the simulator is not needed by other methods

    return auto(task, settings)


def _flow(task: Task, settings: Settings) -> Draft:
    from .layouts import by_flow  # numba takes a while to load

    return by_flow(task)


def _stages(task: Task, settings: Settings) -> Draft:
    from .layouts import by_annealing

    return by_annealing(task, settings.router)


def _builtin() -> tuple[Method, ...]:
    return (
        Method(
            name="auto",
            make=_auto,
            note="the best of several ways to place and route, simulated on this workload",
            aim="response",
            drafts=True,
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
            make=placed(cg_bp, "ws-rr"),
            note="CG-BP placement, WS-RR routing (arXiv 2512.21884)",
        ),
        Method(
            name="chains",
            make=placed(composed, "jffc"),
            note="GBP-CR, GCA and JFFC, chosen by the bound (arXiv 2604.14993)",
        ),
        Method(
            name="exact",
            make=_exact,
            note="column generation with a bound that holds at any instant",
            joint=True,
            compute=True,
            drafts=True,
        ),
        Method(
            name="search",
            make=solved(solve_search, ROUTER),
            note="large-neighbourhood search over placement and routes, with a bound",
            compute=True,
            drafts=True,
        ),
        Method(
            name="milp",
            make=milp,
            note="the mixed-integer programme of arXiv 2512.21884",
            drafts=True,
        ),
        Method(
            name="flow",
            make=_flow,
            note="the layout of largest flow, a programme over positions with its bound",
            aim="throughput",
        ),
        Method(
            name="stages",
            make=_stages,
            note="layouts of stages by annealing on the fluid model, the best five simulated",
            aim="throughput",
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


#: A method's name, a method, or a placement rule ``(task) -> Placement``.
AnyMethod = str | Method | Rule

METHODS: dict[str, Method] = {m.name: m for m in _builtin()}
DEFAULT_COMPARISON = ("petals", "petals-tuned", "cg-bp", "auto")


def method_names() -> tuple[str, ...]:
    """All methods that can be named."""
    return (*METHODS, *(name for name in added(GROUP) if name not in METHODS))


def method_named(name: str, router: str | None = None) -> Method:
    """A method by its name, or ``METHOD+ROUTER``, with another router if one is named.

    Raises
    ------
    ScenarioError
        For a name that does not exist, listing those that do.
    """
    name, _, own = (part.strip() for part in name.partition("+"))
    router = router or own or None
    if name in METHODS:
        method = METHODS[name]
    elif name in added(GROUP):
        method = method_of(loaded(GROUP, name), name=name)
    else:
        known = ", ".join(method_names())
        raise ScenarioError.single("--method", f"no method {name!r}; there are {known}")
    if router is None:
        return method
    router_named(router)
    return replace(method, name=f"{name} + {router}", router=router)


def method_of(given: AnyMethod, *, name: str = "") -> Method:
    """A method out of a name, a method, or a placement rule ``(task) -> Placement``.

    A rule's placement is routed by WS-RR unless another router is chosen.
    """
    if isinstance(given, str):
        return method_named(given)
    if isinstance(given, Method):
        return given
    title = name or getattr(given, "__name__", type(given).__name__)
    return Method(name=title, make=placed(given, "ws-rr"), note="a placement rule of your own")
