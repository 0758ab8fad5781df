"""What a method is told, and what it decides; every method has this one shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..core.plan import Candidate, Certificate, Placement, PlannedRoute
from ..core.problem import Problem
from ..placement.api import Placer, Solver
from ..simulator.admission import Admission
from ..solve.progress import OnProgress

#: What a plan is chosen by: response time under the workload, time per token of the planned
#: concurrent sessions, or the highest rate that the swarm sustains.
Objective = Literal["response", "latency", "throughput"]
Metric = Literal["mean", "p95"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a method should work; what does not concern a method it ignores.

    Attributes
    ----------
    seed : seed of everything random.
    time_limit_s : wall-clock limit of one plan; None = none.
    gap : relative gap at which a proof is good enough.
    solver : ``highs``, ``cbc`` or any solver that PuLP lists; the mixed-integer programme only.
    objective, metric : what ``auto`` chooses by.
    admission : the waiting rule under which ``auto`` simulates its candidates.
    on_progress : called now and then while a method works.
    """

    seed: int = 0
    time_limit_s: float | None = 30.0
    gap: float = 5e-6
    solver: str = "highs"
    objective: Objective = "response"
    metric: Metric = "mean"
    admission: Admission = "retry"
    on_progress: OnProgress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A method's decision.

    Attributes
    ----------
    router : name of the online router that belongs to the placement.
    routes, certificate : planned chains and proof, from methods that have them.
    candidates : what was compared on the way.
    interrupted : Ctrl-C ended the search; this is the best until then.
    """

    placement: Placement
    router: str
    routes: tuple[PlannedRoute, ...] | None = None
    certificate: Certificate | None = None
    candidates: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False


Make = Callable[[Problem, Settings], Draft]


def placed(placer: Placer, router: str) -> Make:
    """A method out of a placer; its routes are planned afterwards."""

    def make(problem: Problem, settings: Settings) -> Draft:
        return Draft(placement=placer(problem, seed=settings.seed), router=router)

    return make


def solved(solver: Solver, router: str) -> Make:
    """A method out of a solver, which finds placement, routes and bound together."""

    def make(problem: Problem, settings: Settings) -> Draft:
        placement, routes, certificate = solver(
            problem,
            time_limit_s=settings.time_limit_s,
            gap=settings.gap,
            seed=settings.seed,
            on_progress=settings.on_progress,
        )
        return Draft(placement=placement, router=router, routes=routes, certificate=certificate)

    return make
