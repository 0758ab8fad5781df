"""Layouts for throughput as methods: of largest flow, and by annealing."""

from __future__ import annotations

from dataclasses import replace

from ..core.errors import HeuristicFailedError
from ..perfmodel.fluid import beyond
from ..placement.anneal import annealed
from ..placement.flowed import flow_placement
from ..placement.task import Task
from .draft import Draft
from .saturated import best_of, saturated, trial_for

#: Routers that deal by a flow: of servers' speeds, and of their ratings.
ROUTER, RATED = "flow", "max-flow"
#: Share of the time limit for the search; the rest is for simulations.
SEARCH_SHARE = 0.7


def by_flow(task: Task) -> Draft:
    """The layout of largest flow; what the programme says of it is told, and simulated elsewhere.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        As ``flow_placement``.
    """
    placement, found = flow_placement(task, deadline=task.deadline)
    planning = task.problem.planning
    tokens = planning.prompt_tokens + planning.output_tokens
    proven = "proven" if found.proven else "not proven"
    note = (
        f"flow model: {found.rate_per_s:.5g} requests/s ({found.rate_per_s * tokens:.5g} tokens/s) "
        f"of at most {found.bound_per_s:.5g} ({found.bound_per_s * tokens:.5g}), {proven}; "
        "a programme of positions over servers' rates, no promise"
    )
    return Draft(placement=placement, router=ROUTER, notes=(note,), interrupted=found.interrupted)


def by_annealing(task: Task, router: str | None = None) -> Draft:
    """The layout that serves most in simulation of the best ones by the fluid model.

    Parameters
    ----------
    router : the one that requests will take; None = by the flow of what servers do.

    Raises
    ------
    HeuristicFailedError
        When no layout was found, or the swarm is beyond the fluid model.
    """
    if why := beyond(task.cost):
        raise HeuristicFailedError(f"stages: {why}")
    router = router or ROUTER
    limited = replace(task, deadline=task.deadline.share(SEARCH_SHARE))
    found = annealed(limited, rated=router == RATED)
    if not found:
        raise HeuristicFailedError("stages: no layout of these servers holds the model")
    trial = trial_for(task.cost, task.seed, found[0].placement)
    runs = []
    for number, layout in enumerate(found):
        if number and task.deadline.passed:
            break
        runs.append(saturated(task.cost, layout.placement, router, trial))
    best = found[best_of(runs, batched=not task.cost.serial.all())]
    note = f"stages: the fluid model gives {best.rate_per_s:.4g} requests/s, no promise"
    return Draft(placement=best.placement, router=router, notes=(note,))
