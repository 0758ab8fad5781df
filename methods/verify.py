"""The verifier of whole plans: every rule they obey, every figure that follows from something.

One function for the plan that was just made, for a plan file, for a plan to be published and for
one that was read from a swarm. No solver is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..chains import capacity, floor
from ..chains.reach import reaches
from ..chains.soundness import (
    misplaced,
    misrouted,
    outside,
    overfull,
    overharmed,
    unadapted,
    uncovered,
    unmet,
)
from ..core.findings import Finding
from ..core.objective import MEAN_RESPONSE, P95_RESPONSE, THROUGHPUT, WEIGHTED_STEP
from ..core.plan import Plan
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..perfmodel.predict import predict, step_objective_s
from ..placement.sessions import demand_of
from .certify import floor_of, measured
from .drafting import drafted
from .routers import router_names
from .table import method_names

#: Goals whose values are simulated.
SIMULATED = (MEAN_RESPONSE, P95_RESPONSE, THROUGHPUT)
#: Figures this near, relative, are equal but for rounding.
EQUAL = 1e-6


def verify(problem: Problem, plan: Plan, *, simulate: bool = True) -> tuple[Finding, ...]:
    """All findings about a plan for its problem; the plan is sound when none is grave.

    Checks spans, block caps, memory, coverage and the operator's constraints; that routes tile the
    model inside the placement by PETALS' rule, carry all planned sessions and fit every cache pool
    together; that predictions and the certificate follow from them; that names exist.

    Parameters
    ----------
    simulate : repeat the simulation behind a simulated objective. Without it such an objective is
        only held against what no plan can beat.
    """
    settled = plan.settled(problem)
    cost = CostModel.of(settled)
    found = list(misplaced(cost, plan.placement))
    if settled.chooses_adapters:
        message = "does not say which adapters servers load"
        found.append(Finding(where="placement", message=message))
    if any(outside(cost, plan.placement)):
        return tuple(found)
    found += [
        *uncovered(cost, plan.placement),
        *unmet(cost, plan.placement),
        *misrouted(cost, plan.placement, plan.routes),
        *overfull(cost, plan.placement, plan.routes),
        *overharmed(cost, plan.routes),
        *unadapted(cost, plan.routes),
        *_names(plan),
        *_count(plan),
    ]
    if not any(f.grave for f in found):
        found += [*_shares(cost, plan), *_predictions(cost, plan)]
    if not any(f.grave for f in found):
        found += [*_certificate(cost, plan, simulate=simulate), *_candidates(plan)]
    return tuple(found)


def sound(findings: tuple[Finding, ...]) -> bool:
    """Whether a plan with these findings may be used."""
    return not any(f.grave for f in findings)


def _names(plan: Plan) -> Iterator[Finding]:
    """Routers and methods that exist."""
    if plan.router not in router_names():
        known = ", ".join(router_names())
        yield Finding(where="router", message=f"no router {plan.router!r}; there are {known}")
    if plan.method not in method_names():
        message = f"made by {plan.method!r}, which is no method of this installation"
        yield Finding(where="method", message=message, grave=False)


def _count(plan: Plan) -> Iterator[Finding]:
    """Every planned session has a route, or is counted among those that find no room."""
    routed = sum(r.sessions for r in plan.routes)
    if routed + plan.unrouted != plan.sessions:
        message = (
            f"routes carry {routed} sessions and {plan.unrouted} find no room: together they are "
            f"not the {plan.sessions} that the plan is for"
        )
        yield Finding(where="sessions", message=message)


def _shares(cost: CostModel, plan: Plan) -> Iterator[Finding]:
    """Every client has routes for its share of the sessions, as far as there is room."""
    free = plan.placement.cache_bytes.copy()
    carried = dict.fromkeys((r.client for r in plan.routes), 0)
    for planned in plan.routes:
        carried[planned.client] += planned.sessions
        for hop in planned.route.hops:
            free[hop.server] -= planned.sessions * int(cost.session_bytes(hop.start, hop.end))
    for d in demand_of(cost.problem, plan.sessions):
        name, short = cost.problem.clients[d.client].id, d.sessions - carried.pop(d.client, 0)
        if short < 0 or (short > 0 and not plan.unrouted):
            message = f"{d.sessions - short} of {d.sessions} sessions of client {name} have a route"
            yield Finding(where="sessions", message=message)
        elif short and reaches(cost, plan.placement, free, d.cache_tokens, cost.lacking[d.client]):
            message = f"{short} sessions of client {name} have no route although there is room"
            yield Finding(where="sessions", message=message)
    for client in carried:
        name = cost.problem.clients[client].id
        message = f"client {name} has routes, but its share of the load rounds to no session"
        yield Finding(where="sessions", message=message)


def _predictions(cost: CostModel, plan: Plan) -> Iterator[Finding]:
    expected = {p.client: p for p in predict(cost, plan.routes)}
    given = {p.client: p for p in plan.predicted}
    if set(expected) != set(given) or len(given) != len(plan.predicted):
        message = "does not list the routes' clients once each"
        yield Finding(where="predicted", message=message)
        return
    for client, right in expected.items():
        where = f"predicted for {cost.problem.clients[client].id}"
        for name in ("ttft_s", "tpot_s", "response_s"):
            wanted, told = getattr(right, name), getattr(given[client], name)
            if not _close(wanted, told):
                message = f"{name} is {told:.9g}, the routes give {wanted:.9g}"
                yield Finding(where=where, message=message)
        harm, true = given[client].harm, right.harm
        if harm is None and true is not None:
            yield Finding(where=where, message=f"harm is not told, the routes give {true:.9g}")
        elif harm is not None and not _close(true or 0.0, harm):
            message = f"harm is {harm:.9g}, the routes give {true or 0.0:.9g}"
            yield Finding(where=where, message=message)


def _certificate(cost: CostModel, plan: Plan, *, simulate: bool) -> Iterator[Finding]:
    proof, objective = plan.certificate, plan.certificate.objective
    where = "certificate"
    for name, figure in (("value", objective.value), ("bound", objective.bound)):
        if figure is not None and not (math.isfinite(figure) and figure >= 0):
            yield Finding(where=where, message=f"the {name} is {figure}")
            return
    if (objective.bound is None) == bool(proof.proof):
        yield Finding(where=where, message="a bound and what proves it go together")
    simulated = objective.goal in (MEAN_RESPONSE, P95_RESPONSE)
    if objective.value is None and not simulated:
        yield Finding(where=where, message="tells no value although the plan gives one")
    if objective.value is None and proof.trial is not None:
        yield Finding(where=where, message="names the requests of a value that it does not tell")
    if objective.value is not None:
        yield from _value(cost, plan, simulate=simulate)
    if objective.bound is not None and proof.proof.startswith(floor.PROOF):
        least = floor.lower_bound_s(cost, demand_of(cost.problem, plan.sessions))
        if not _close(min(least, objective.value or least), objective.bound):
            message = f"the bound is {objective.bound:.9g}, its proof gives {least:.9g}"
            yield Finding(where=where, message=message)
    if proof.proof == capacity.PROOF and objective.bound is not None:
        most = max(capacity.most_planned_per_s(cost), objective.value or 0.0)
        if not _close(most, objective.bound):
            message = f"the bound is {objective.bound:.9g}, its proof gives {most:.9g}"
            yield Finding(where=where, message=message)
    if objective.value is not None and objective.bound is not None:
        sign = 1.0 if objective.goal.direction == "min" else -1.0
        if sign * (objective.bound - objective.value) > EQUAL * abs(objective.value):
            message = f"no plan passes the bound {objective.bound:.9g}, this one is said to"
            yield Finding(where=where, message=message)


def _value(cost: CostModel, plan: Plan, *, simulate: bool) -> Iterator[Finding]:
    """The value against what it follows from."""
    proof, goal, value = plan.certificate, plan.certificate.objective.goal, _reached(plan)
    where = "certificate"
    if (proof.trial is not None) != (goal in SIMULATED):
        yield Finding(where=where, message="simulated values, and only they, name their requests")
        return
    if proof.trial is None:
        if goal == WEIGHTED_STEP:
            message = "weights of tokens are not part of a plan, so its value cannot be checked"
            yield Finding(where=where, message=message)
            return
        follows, source = step_objective_s(cost, plan.routes), "the routes give"
    elif simulate or drafted(cost.problem):
        follows = measured(cost, plan.placement, plan.router, goal, proof.trial)
        source = "its requests, simulated again, give"
    elif goal == THROUGHPUT:
        return
    else:
        least = floor_of(cost, goal, proof.trial)
        if value < least * (1.0 - EQUAL):
            message = f"the value is {value:.9g}, no plan brings it below {least:.9g}"
            yield Finding(where=where, message=message)
        return
    if not _close(follows, value):
        yield Finding(where=where, message=f"the value is {value:.9g}, {source} {follows:.9g}")
    if goal != THROUGHPUT and proof.trial is not None and proof.objective.bound is not None:
        least = floor_of(cost, goal, proof.trial)
        if not _close(min(least, value), proof.objective.bound):
            message = f"the bound is {proof.objective.bound:.9g}, its requests give {least:.9g}"
            yield Finding(where=where, message=message)


def _reached(plan: Plan) -> float:
    value = plan.certificate.objective.value
    assert value is not None
    return value


def _candidates(plan: Plan) -> Iterator[Finding]:
    """One of those that were compared was chosen, and it is this plan."""
    if not plan.candidates:
        return
    chosen = [c for c in plan.candidates if c.verdict == "chosen"]
    if len(chosen) != 1:
        yield Finding(where="candidates", message=f"{len(chosen)} of them are called chosen")
        return
    if chosen[0].router not in (plan.router, ""):
        message = f"chosen with router {chosen[0].router}, the plan has {plan.router}"
        yield Finding(where="candidates", message=message)
    value, trial = plan.certificate.objective.value, plan.certificate.trial
    if value is not None and chosen[0].figure is not None and not _close(value, chosen[0].figure):
        message = f"chosen at {chosen[0].figure:.9g}, the certificate says {value:.9g}"
        yield Finding(where="candidates", message=message)
    if chosen[0].requests != (0 if trial is None else trial.requests):
        message = f"chosen over {chosen[0].requests} requests, the certificate names others"
        yield Finding(where="candidates", message=message)


def _close(a: float, b: float) -> bool:
    return math.isfinite(b) and abs(a - b) <= EQUAL * max(abs(a), abs(b), 1e-12)
