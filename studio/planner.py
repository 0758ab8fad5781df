"""What the page asks of the planner: jobs that run in a process of their own and tell as they go.

Every figure is that of the command line: the requests of ``simulate`` (seed 0, the scenario's
number) on the plan shown, the flow that ``capacity`` finds for its placement, and its bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from .. import api
from ..chains.capacity import most_per_s
from ..chains.sustain import Sustained, sustained
from ..core.content import FloatArray
from ..core.errors import NoRouteError, SwarmplanError
from ..core.plan import Placement, Plan
from ..methods.draft import Settings
from ..methods.judge import REHEARSED
from ..methods.planning import planned
from ..methods.replanning import kept
from ..perfmodel.cost import CostModel
from ..scenarios.scenario import Scenario
from ..simulator.figures import figures
from ..simulator.metrics import summarise
from ..simulator.rehearsal import Rehearsal, can_rehearse
from ..solve.progress import OnProgress
from ..studies.change import respanned
from ..studies.outcome import Outcome, Study, outcome_of
from ..workload.draw import draw_requests
from ..workload.mix import mix_of

SEED = 0
STUDY = Study(seeds=(SEED,))
#: What is told at once, and what follows when the whole run was simulated.
AT_ONCE = figures("response_s", "p95_response_s", "ttft_s", "p95_ttft_s")
IN_FULL = (*AT_ONCE, *figures("tpot_s", "wait_s", "tokens_per_s", "hops", "completed_share"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known of a scenario under a plan; later answers know more.

    Attributes
    ----------
    plan : None where there is none, for the reason ``error``.
    figures : by the ids of ``simulator.figures``, in their units.
    share : (n,) share of the served requests that pass each server.
    carried : what the placement's chains sustain.
    most_per_s : requests per second that no plan exceeds, inf where unknown.
    outcome : of the whole simulated run.
    """

    plan: Plan | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    share: FloatArray | None = None
    carried: Sustained | None = None
    most_per_s: float = np.inf
    outcome: Outcome | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The plan that was there, of the scenario it was made for."""

    plan: Plan
    scenario: Scenario


def judge(scenario: Scenario, start: Start | None, stay: bool) -> Iterator[Found]:
    """The plan that was there on the scenario as it is now: figures first, then who is busy.

    Parameters
    ----------
    stay : the servers keep their blocks even where some block is left without one; else such a
        swarm is planned anew, fast.
    """
    if stay and start is not None:
        spans = respanned(start.plan.placement, start.scenario, scenario)
        if not _covers(scenario, spans):
            made = outcome_of(scenario, spans, start.plan.router, STUDY, "now")
            yield Found(most_per_s=_most(scenario), outcome=made, error=made.error)
            return
    try:
        plan = carried_over(scenario, start)
    except SwarmplanError as error:
        yield Found(error=str(error), most_per_s=_most(scenario))
        return
    yield from _judged(scenario, plan)


def measure(scenario: Scenario, found: Found) -> Iterator[Found]:
    """The same plan in full: where the time goes, client by client."""
    if found.plan is None:
        return
    drafted = replace(scenario, problem=scenario.problem.with_drafts(found.plan.drafts))
    made = outcome_of(drafted, found.plan.placement, found.plan.router, STUDY, "now")
    known = {f.id: f.of(made.runs[0]) for f in IN_FULL} if made.runs else found.figures
    yield replace(found, outcome=made, figures=known, error=made.error)


def improve(
    scenario: Scenario, found: Found, seconds: float, on_progress: OnProgress
) -> Iterator[Found]:
    """A plan by ``auto`` that does no worse than the one there is, if there is any."""
    old = found.plan
    settings = Settings(
        seed=SEED,
        time_limit_s=seconds,
        known=() if old is None else ((old.placement, old.router),),
        on_progress=on_progress,
    )
    made = api.plan(scenario, settings=settings)
    if old is not None and (made.placement, made.router) == (old.placement, old.router):
        yield replace(found, plan=made)  # the same, with what is proven of it
        return
    for answer in _judged(scenario, made):
        latest = answer
    yield from measure(scenario, latest)


def carried_over(scenario: Scenario, start: Start | None) -> Plan:
    """The plan there was where it still serves every block, else one that is made fast.

    Raises
    ------
    SwarmplanError
        If no plan can be made.
    """
    problem = scenario.problem
    if start is None:
        return api.plan(problem, "cg-bp", router=REHEARSED[0])
    if start.scenario.sha256 == scenario.sha256:
        return start.plan
    spans = respanned(start.plan.placement, start.scenario, scenario)
    if _covers(scenario, spans):
        name = start.plan.method.removesuffix(", blocks as they were")
        same = kept(spans, start.plan.router, name=f"{name}, blocks as they were")
        with suppress(NoRouteError):  # at these precisions somebody's budget bears no chain
            return planned(problem, same, Settings())
    return api.plan(problem, "cg-bp", router=REHEARSED[0])


def _covers(scenario: Scenario, placement: Placement) -> bool:
    return bool(placement.coverage(scenario.problem.model.num_blocks).all())


def _most(scenario: Scenario) -> float:
    return float(most_per_s(CostModel.of(scenario.problem), mix_of(scenario.problem)))


def _judged(scenario: Scenario, plan: Plan) -> Iterator[Found]:
    """Figures, then capacity, then who is passed, each as soon as it is known."""
    problem = plan.settled(scenario.problem)
    cost, requests = CostModel.of(problem), draw_requests(problem, SEED)
    alike = plan.router == REHEARSED[0] and not scenario.events and can_rehearse(cost, requests)
    found = Found(plan=plan)
    if alike:
        rehearsal = Rehearsal(cost, requests)
        run = rehearsal(plan.placement)
        if not np.isnan(run.response_s).all():
            found = replace(found, figures=_at_once(run.response_s, run.ttft_s))
    else:
        run_summary = summarise(api.simulate(scenario, plan, seed=SEED))
        found = replace(found, figures={f.id: f.of(run_summary) for f in IN_FULL})
    yield found
    hosted = plan.placement.settled(scenario.problem)
    flow = sustained(CostModel.of(hosted), plan.placement, mix_of(hosted))
    found = replace(found, carried=flow, most_per_s=_most(scenario))
    yield found
    if alike:
        yield replace(found, share=rehearsal.share(plan.placement))


def _at_once(response_s: FloatArray, ttft_s: FloatArray) -> dict[str, float]:
    """Figures of (R,) responses and first tokens, nan where a request was not served."""
    found = {}
    for name, column in (("response_s", response_s), ("ttft_s", ttft_s)):
        served = column[~np.isnan(response_s)]
        found[name] = float(served.mean())
        found[f"p95_{name}"] = float(np.quantile(served, 0.95))
    return found
