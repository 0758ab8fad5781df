"""What a plan promises: unloaded figures per client and the planners' objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.objective import STEP, WEIGHTED_STEP, Goal
from ..core.plan import PlannedRoute, Predicted
from ..core.workload import Demand
from .cost import CostModel


def step_goal(demand: Sequence[Demand]) -> Goal:
    """What the planners' objective stands for."""
    return WEIGHTED_STEP if any(d.weight_tokens != 1.0 for d in demand) else STEP


def step_objective_s(
    cost: CostModel, routes: Sequence[PlannedRoute], demand: Sequence[Demand] = ()
) -> float:
    """Step time summed over the planned sessions, weighted by the demand's tokens (1 without)."""
    weight: Mapping[int, float] = {d.client: d.weight_tokens for d in demand}
    return float(
        sum(
            r.sessions
            * weight.get(r.client, 1.0)
            * cost.step_s(r.route, cost.planned(r.client, r.route))
            for r in routes
        )
    )


def predict(cost: CostModel, routes: Sequence[PlannedRoute]) -> tuple[Predicted, ...]:
    """Unloaded figures of every client, averaged over its planned sessions."""
    setup = cost.problem.session_setup_s + cost.problem.alloc_delay_s
    found = []
    for client in sorted({r.client for r in routes}):
        ttft = tpot = response = total = harm = 0.0
        for planned in (r for r in routes if r.client == client):
            time = cost.route_time(planned.route, cost.planned(client, planned.route))
            total += planned.sessions
            harm = max(harm, cost.route_harm(planned.route))
            ttft += planned.sessions * (time.ttft_s + setup)
            tpot += planned.sessions * time.tpot_s
            response += planned.sessions * (time.total_s + setup)
        found.append(
            Predicted(
                client=client,
                ttft_s=ttft / total,
                tpot_s=tpot / total,
                response_s=response / total,
                harm=None if cost.problem.accuracy is None else harm,
            )
        )
    return tuple(found)
