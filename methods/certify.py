"""Figures behind certificates, for whoever writes one and for whoever checks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..chains.capacity import PROOF, most_per_s
from ..chains.knapsack import least_responses_s
from ..core.content import FloatArray
from ..core.objective import P95_RESPONSE, THROUGHPUT, Goal
from ..core.plan import Certificate, Placement, Trial
from ..core.problem import Problem
from ..core.workload import Request
from ..perfmodel.cost import CostModel
from ..placement.task import Task
from ..simulator.metrics import WARM_UP
from ..workload.draw import draw_requests
from ..workload.mix import mix_of
from .draft import Draft
from .judge import Judge
from .saturated import saturated

#: What gives the bound on a response.
ALONE = "every request alone in the swarm"


def trial_requests(problem: Problem, trial: Trial) -> Sequence[Request]:
    """The requests behind a simulated figure."""
    return draw_requests(problem, trial.seed, num_requests=trial.requests)


def measured(cost: CostModel, placement: Placement, router: str, goal: Goal, trial: Trial) -> float:
    """What a goal looks at when the trial's requests are simulated: a response time in seconds, or
    requests per second."""
    if goal == THROUGHPUT:
        return saturated(cost, placement, router, trial).requests_per_s
    judge = Judge(
        cost,
        trial_requests(cost.problem, trial),
        admission=trial.admission,
        goal=goal,
    )
    return judge(placement, router).figure_s


def floor_of(cost: CostModel, goal: Goal, trial: Trial) -> float:
    """What no plan can bring it below: every request of the trial alone in the swarm."""
    requests = trial_requests(cost.problem, trial)
    counted = sorted(requests, key=lambda r: r.arrival_s)[int(len(requests) * WARM_UP) :]
    least: FloatArray = least_responses_s(cost, counted)
    return float(np.quantile(least, 0.95) if goal == P95_RESPONSE else least.mean())


def remeasured(draft: Draft, placement: Placement, task: Task) -> Certificate | None:
    """The certificate of a draft whose placement was changed after it was simulated: what its trial
    measures now. None where it was not simulated."""
    proof = draft.certificate
    if proof is None or proof.trial is None:
        return None
    cost = CostModel.of(placement.settled(task.problem).with_drafts(draft.drafts))
    value = measured(cost, placement, draft.router, task.goal, proof.trial)
    bound = proof.objective.bound
    if bound is not None:
        bound = min(floor_of(cost, task.goal, proof.trial), value)
    return replace(proof, objective=replace(proof.objective, value=value, bound=bound))


def load_in_words(cost: CostModel) -> str:
    """The load of a problem beside what no plan exceeds, in a line."""
    most = most_per_s(cost, mix_of(cost.problem))
    return beside_most(cost.problem.workload.rate_per_s, most)


def beside_most(load_per_s: float, most_per_s: float) -> str:
    """A load beside a rate that no plan exceeds, in a line; too much is said clearly."""
    if load_per_s > most_per_s:
        return (
            f"overload: {load_per_s:.4g} requests/s arrive, no plan sustains more than "
            f"{most_per_s:.4g} ({PROOF}), so waiting grows as long as this lasts"
        )
    share = load_per_s / most_per_s if most_per_s else 0.0
    return (
        f"load {load_per_s:.4g} requests/s, {share * 100:.0f} % of the {most_per_s:.4g} that no "
        f"plan exceeds ({PROOF})"
    )
