"""What a plan promises: unloaded figures per client and the planners' objective."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..core.plan import Plan, PlannedRoute, Predicted
from ..core.problem import Problem
from ..core.verify import Violation, check_plan
from .latency import route_time

STEP_OBJECTIVE = "seconds per output token, summed over the planned sessions"
WEIGHTED_OBJECTIVE = "step time weighted by tokens, summed over the planned sessions, seconds"


def shape(problem: Problem) -> tuple[int, int]:
    """Prompt and output tokens of the representative request."""
    return problem.planning.prompt_tokens, problem.planning.output_tokens


def step_objective_s(problem: Problem, routes: Sequence[PlannedRoute]) -> float:
    """Seconds per output token summed over the planned sessions (docs/model.md, objective)."""
    prompt, output = shape(problem)
    return sum(
        r.sessions * route_time(problem, r.client, r.route, prompt, output).tpot_s for r in routes
    )


def predict(problem: Problem, routes: Sequence[PlannedRoute]) -> tuple[Predicted, ...]:
    """Unloaded figures of every client, averaged over its planned sessions."""
    prompt, output = shape(problem)
    setup = problem.session_setup_s + problem.alloc_delay_s
    found = []
    for client in sorted({r.client for r in routes}):
        ttft = tpot = response = total = 0.0
        for planned in (r for r in routes if r.client == client):
            time = route_time(problem, client, planned.route, prompt, output)
            total += planned.sessions
            ttft += planned.sessions * (time.ttft_s + setup)
            tpot += planned.sessions * time.tpot_s
            response += planned.sessions * (time.total_s + setup)
        found.append(
            Predicted(
                client=client,
                ttft_s=ttft / total,
                tpot_s=tpot / total,
                response_s=response / total,
            )
        )
    return tuple(found)


def verify(problem: Problem, plan: Plan) -> tuple[Violation, ...]:
    """Every violation of a plan: its rules, and figures that do not follow from its routes."""
    broken = check_plan(plan, problem)
    if broken:
        return broken
    return tuple(_figures(problem, plan))


def _figures(problem: Problem, plan: Plan) -> Iterator[Violation]:
    expected = {p.client: p for p in predict(problem, plan.routes)}
    given = {p.client: p for p in plan.predicted}
    if set(expected) != set(given) or len(given) != len(plan.predicted):
        yield Violation(where="predicted", message="does not list the routes' clients once each")
        return
    for client, right in expected.items():
        where = f"predicted for {problem.clients[client].id}"
        for name in ("ttft_s", "tpot_s", "response_s"):
            wanted, told = getattr(right, name), getattr(given[client], name)
            if not _close(wanted, told):
                message = f"{name} is {told:.9g}, the routes give {wanted:.9g}"
                yield Violation(where=where, message=message)
    proof = plan.certificate
    if proof.meaning == STEP_OBJECTIVE and proof.objective is not None:
        wanted = step_objective_s(problem, plan.routes)
        if not _close(wanted, proof.objective):
            message = f"objective is {proof.objective:.9g}, the routes give {wanted:.9g}"
            yield Violation(where="certificate", message=message)


def _close(a: float, b: float) -> bool:
    return math.isfinite(b) and abs(a - b) <= 1e-6 * max(abs(a), abs(b), 1e-12)
