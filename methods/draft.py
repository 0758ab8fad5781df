"""What a method is told, and what it decides; every method has this one shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..core.drafting import Use
from ..core.names import Admission, Aim, Metric
from ..core.objective import goal_of
from ..core.plan import Candidate, Certificate, Placement, PlannedRoute, Throughput
from ..core.problem import Problem
from ..placement.api import Rule, Solver
from ..placement.compute import in_words
from ..placement.sessions import task_of
from ..placement.task import Task
from ..solve.deadline import Deadline
from ..solve.progress import OnProgress

#: A placement and the name of its router.
Known = tuple[Placement, str]
#: A placement and planned routes on it.
Routed = tuple[Placement, tuple[PlannedRoute, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a method should work; what does not concern a method it ignores.

    Attributes
    ----------
    seed : seed of everything random.
    time_limit_s : wall-clock limit of one plan; None = none.
    gap : relative gap at which a proof is good enough.
    solver : ``highs``, ``cbc`` or any solver that PuLP lists; the mixed-integer programme only.
    aim, metric : what is asked for; None = what the method itself works for.
    admission : the waiting rule under which ``auto`` simulates its candidates.
    known : placements that are there already, each with the name of its router: ``auto`` returns
        nothing that does worse.
    routed : the same placements, those of plans, with their planned routes: where ``exact`` begins.
    router : the one that requests will take, where that is given: methods that simulate do so
        with it.
    on_progress : called now and then while a method works.
    """

    seed: int = 0
    time_limit_s: float | None = 30.0
    gap: float = 5e-6
    solver: str = "highs"
    aim: Aim | None = None
    metric: Metric = "mean"
    admission: Admission = "retry"
    known: tuple[Known, ...] = ()
    routed: tuple[Routed, ...] = ()
    router: str | None = None
    on_progress: OnProgress | None = None

    def task(self, problem: Problem, aim: Aim, *, sessions: int | None = None) -> Task:
        """The task that these settings make of a problem; the clock starts here.

        Parameters
        ----------
        aim : what the method works for where nothing else is asked.
        sessions : R; derived when left out.
        """
        return task_of(
            problem,
            sessions=sessions,
            goal=goal_of(self.aim or aim, self.metric),
            deadline=Deadline.after(self.time_limit_s),
            gap=self.gap,
            seed=self.seed,
            on_progress=self.on_progress,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A method's decision.

    Attributes
    ----------
    router : name of the online router that belongs to the placement.
    routes, certificate : planned chains and proof, from methods that have them.
    candidates : what was compared on the way.
    interrupted : Ctrl-C ended the search; this is the best until then.
    drafts : how each client drafts, where that was chosen on the way; empty = it follows from the
        routes.
    throughput : what it was seen to serve, where that was asked for.
    """

    placement: Placement
    router: str
    routes: tuple[PlannedRoute, ...] | None = None
    certificate: Certificate | None = None
    candidates: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    drafts: tuple[Use, ...] = ()
    throughput: Throughput | None = None

    def moved(self, placement: Placement, certificate: Certificate | None, note: str) -> Draft:
        """The decision for a placement that was changed afterwards: what was found out about the
        one before no longer counts."""
        return replace(
            self,
            placement=placement,
            routes=None,
            certificate=certificate,
            candidates=(),
            throughput=None,
            notes=(*self.notes, note),
        )


#: How a method decides.
Make = Callable[[Task, Settings], Draft]


def placed(rule: Rule, router: str) -> Make:
    """A method out of a placement rule; its routes are planned afterwards."""

    def make(task: Task, settings: Settings) -> Draft:
        return Draft(placement=rule(task), router=router)

    return make


def solved(solver: Solver, router: str) -> Make:
    """A method out of a solver, which finds placement, routes and bound together.

    What it proves is said with what it assumes of compute.
    """

    def make(task: Task, settings: Settings) -> Draft:
        placement, routes, certificate = solver(task)
        certificate = replace(certificate, proof=in_words(task.cost) + certificate.proof)
        return Draft(placement=placement, router=router, routes=routes, certificate=certificate)

    return make
