"""From a method's decision to a whole plan: routes, predictions, certificate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ..chains import floor
from ..chains.capacity import PROOF as CAPACITY_PROOF
from ..chains.capacity import most_planned_per_s
from ..core.drafting import Use
from ..core.errors import SwarmplanError
from ..core.objective import STEP, THROUGHPUT, WEIGHTED_STEP, Objective
from ..core.plan import Certificate, Plan, PlannedRoute, Throughput
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..perfmodel.predict import predict, step_objective_s
from ..placement.moves.resilience import demands_in_words, honoured
from ..placement.rules.cg_bp import cg_bp
from ..placement.task import Task
from ..routing.ahead import routes_together
from ..routing.offline import best_routes
from .certify import load_in_words
from .draft import Draft, Settings
from .draftrace import at_drafts, with_uses
from .saturated import in_words, saturated, trial_for, with_part_loads
from .table import Method


def planned(
    problem: Problem, method: Method, settings: Settings, *, sessions: int | None = None
) -> Plan:
    """The plan that a method makes; errors as the method's.

    Where Ctrl-C comes before it has one, a plan of CG-BP stands in, if that can make one.
    """
    try:
        task = method.task(problem, settings, sessions=sessions)
        draft = method.decide(task, settings)
    except KeyboardInterrupt:
        if problem.chooses_hosting or problem.chooses_adapters:
            raise  # CG-BP chooses neither
        task = method.plainly(problem, settings, sessions=sessions)
        draft = _stopgap(task, method)
    if draft.interrupted and task.goal == THROUGHPUT and draft.throughput is None:
        # Nobody waits for a simulation after Ctrl-C: told is what follows from the routes.
        task, draft = replace(task, goal=STEP), replace(draft, certificate=None)
    problem = draft.placement.settled(problem)
    draft = with_uses(draft, problem, task.sessions)
    unrouted: dict[int, int] = {}
    routes = draft.routes
    drafted = problem.with_drafts(draft.drafts)
    if drafted.drafts != task.problem.drafts:
        given = sessions if routes is None else task.sessions
        task = at_drafts(task, CostModel.of(drafted), given)
        if task.goal == STEP:  # what was proven was so without these drafts
            draft = replace(draft, certificate=None)
    elif draft.placement.settles:
        task = replace(task, cost=CostModel.of(problem))
    if routes is None:
        ahead = routes_together if draft.router == "joint" else best_routes
        routes, unrouted = ahead(task.cost, draft.placement, task.demand)
    kept = _on_planned_chains(draft.drafts, routes)
    if kept != draft.drafts:  # what was measured was so with the other ones
        draft = replace(draft, drafts=kept, certificate=None)
        task = replace(task, cost=CostModel.of(problem.with_drafts(kept)))
    certificate, throughput = _certificate(task, routes, draft), None
    if task.goal == THROUGHPUT:
        certificate, throughput = _served(task, draft, certificate)
    return Plan(
        method=method.name,
        placement=draft.placement,
        routes=routes,
        predicted=predict(task.cost, routes),
        certificate=certificate,
        sessions=task.sessions,
        unrouted=sum(unrouted.values()),
        seed=settings.seed,
        notes=(
            *draft.notes,
            *_of_drafts(draft),
            *_as_if_nobody(problem, method),
            *(() if throughput is None else (in_words(throughput),)),
            *_waiting(problem, unrouted),
            load_in_words(task.cost),
            *_demands(problem),
        ),
        router=draft.router,
        candidates=draft.candidates,
        drafts=draft.drafts,
        throughput=throughput,
    )


def _stopgap(task: Task, method: Method) -> Draft:
    """What there is when Ctrl-C came first.

    Raises
    ------
    KeyboardInterrupt
        Where CG-BP finds nothing.
    """
    try:
        placement = honoured(task, cg_bp(task))
    except SwarmplanError:
        raise KeyboardInterrupt from None
    note = f"interrupted before {method.name} had a plan: CG-BP's stands in"
    router = method.router or "ws-rr"
    return Draft(placement=placement, router=router, notes=(note,), interrupted=True)


def _certificate(task: Task, routes: Sequence[PlannedRoute], draft: Draft) -> Certificate:
    """What the method proved of the goal, or what follows from the plan.

    The order-free bound is for all sessions together, so it says nothing when some found no room.
    """
    proof, goal = draft.certificate, task.goal
    if proof is not None and proof.objective.goal == WEIGHTED_STEP:
        proof = None  # a plan knows no weights
    if proof is None or proof.objective.goal != goal:
        proof = Certificate(objective=Objective(goal=goal))
    proof = replace(proof, interrupted=proof.interrupted or draft.interrupted)
    if goal != STEP:
        return proof
    value = step_objective_s(task.cost, routes)
    bound = proof.objective.bound
    all_routed = sum(r.sessions for r in routes) >= sum(d.sessions for d in task.demand)
    # Bounds know one number of drafts for all chains of a client.
    if not all_routed or task.cost.problem.drafts_by_chain:
        return replace(proof, objective=Objective(goal=STEP, value=value), proof="")
    if task.is_open:
        # Its bound is on all choices; what bounds plans at fixed precisions is none.
        least = None if bound is None else min(bound, value)
        return replace(proof, objective=Objective(goal=STEP, value=value, bound=least))
    known = min(floor.lower_bound_s(CostModel.of(task.problem), task.demand), value)
    if bound is not None and bound >= known:
        objective = Objective(goal=STEP, value=value, bound=min(bound, value))
        return replace(proof, objective=objective)
    return replace(
        proof,
        objective=Objective(goal=STEP, value=value, bound=known),
        proof=floor.PROOF,
    )


def _served(task: Task, draft: Draft, proof: Certificate) -> tuple[Certificate, Throughput]:
    """What is served in simulation, beside what all servers together hold and compute."""
    cost, found = task.cost, draft.throughput
    trial = proof.trial
    if trial is None or found is None:
        trial = trial_for(cost, task.seed, draft.placement)
        found = saturated(cost, draft.placement, draft.router, trial)
    found = with_part_loads(cost, draft.placement, draft.router, trial, found)
    value, most = found.requests_per_s, most_planned_per_s(cost)
    proof = replace(proof, trial=trial)
    if math.isinf(most) or cost.problem.drafts_by_chain:
        return replace(proof, objective=Objective(goal=THROUGHPUT, value=value), proof=""), found
    objective = Objective(goal=THROUGHPUT, value=value, bound=max(most, value))
    return replace(proof, objective=objective, proof=CAPACITY_PROOF), found


def _on_planned_chains(drafts: Sequence[Use], routes: Sequence[PlannedRoute]) -> tuple[Use, ...]:
    """Drafts that differ by chain on chains of the plan alone."""
    planned = {(r.client, r.route.servers) for r in routes}
    return tuple(
        use._replace(chains=tuple(own for own in use.chains if (client, own[0]) in planned))
        for client, use in enumerate(drafts)
    )


def _waiting(problem: Problem, unrouted: dict[int, int]) -> tuple[str, ...]:
    return tuple(
        f"{count} planned session(s) of client {problem.clients[c].id} find no room beside the "
        "others and would wait"
        for c, count in unrouted.items()
    )


def _of_drafts(draft: Draft) -> tuple[str, ...]:
    """What bounds and rates assume where clients draft."""
    if not any(use.tokens for use in draft.drafts):
        return ()
    return ("what no plan exceeds is told for these drafts",)


def _as_if_nobody(problem: Problem, method: Method) -> tuple[str, ...]:
    """What a method that knows one time of a block for all clients makes of their drafts."""
    if method.drafts or CostModel.of(problem).drafts_alike:
        return ()
    return (f"{method.name} placed blocks as if nobody drafted: clients draft each in its own way",)


def _demands(problem: Problem) -> tuple[str, ...]:
    """What the placement was asked to meet, for the plan's notes."""
    asked = demands_in_words(problem)
    return (f"meets: {', '.join(asked)}",) if asked else ()
