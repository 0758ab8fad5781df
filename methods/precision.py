"""How servers host, chosen for any method: jointly where that can be solved, else on a grid.

Precisions of blocks and formats on the wire. Whatever a method knows nothing of is settled for it:
it plans for servers that host so, and its plans are held against the clients' budgets of accuracy.
docs/model.md 17.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..chains.soundness import overharmed
from ..core.errors import (
    HeuristicFailedError,
    InfeasibleError,
    NoRouteError,
    NoSolutionInTimeError,
    RequestTooLargeError,
)
from ..core.objective import STEP, Objective
from ..core.plan import Certificate
from ..core.problem import Hosting, Problem, Server
from ..perfmodel.cost import CostModel
from ..perfmodel.predict import step_objective_s
from ..placement.precise.solve import LABELS, alone_bound_s, solve_precise
from ..placement.rules.cg_bp import cg_bp
from ..placement.task import Task
from ..routing.offline import best_routes
from .draft import Draft, Settings

#: Grids of ways to host by type of server up to which every point is tried.
MOST_GRID = 81
#: Shares of the time limit: to solve jointly, to rank the grid.
JOINT_SHARE, GRID_SHARE = 0.4, 0.3
#: Choices that a method plans for where what it works for follows from its routes; else one.
MOST_PLANNED = 4
#: What a method may fail with for some choice and not for another.
FAILURES = (
    HeuristicFailedError,
    InfeasibleError,
    NoRouteError,
    NoSolutionInTimeError,
    RequestTooLargeError,
)
#: A failure that is no proof.
NOTHING_FOUND = (
    "no plan within memory and the accuracy budget was found, which proves nothing: raise "
    "the budget, plan for fewer sessions, or try --method exact"
)
#: How each server hosts, or may.
Hostings = tuple[Hosting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A plan within the budgets: step time of all sessions, and the plan."""

    step_s: float
    draft: Draft


def chosen(
    decide: Callable[[Task, Settings], Draft] | None, task: Task, settings: Settings
) -> Draft:
    """A method's plan where servers host as is best, within the budgets.

    Parameters
    ----------
    decide : the method where that is fixed; None = only the joint problem is solved.

    Raises
    ------
    InfeasibleError
        When it is proven that no plan exists.
    HeuristicFailedError
        When none was found.
    """
    joint, failure = _joint(task, settings)
    try:
        return _best(decide, task, settings, joint, failure)
    except KeyboardInterrupt:
        if joint is None or joint.draft.certificate is None:
            raise
        return replace(_told(joint, joint.draft.certificate, 0, task), interrupted=True)


def _best(
    decide: Callable[[Task, Settings], Draft] | None,
    task: Task,
    settings: Settings,
    joint: _Found | None,
    failure: Exception | None,
) -> Draft:
    """The best of the joint solution, if there is one, and of choices by type of server."""
    if joint is not None and joint.draft.certificate and joint.draft.certificate.interrupted:
        raise KeyboardInterrupt
    ranked = sorted(_on_grid(task), key=lambda f: f.step_s)
    if joint is not None and joint.draft.certificate is not None:
        proof = joint.draft.certificate
    else:
        bound_s = alone_bound_s(task)
        proof = Certificate(objective=Objective(goal=STEP, bound=bound_s), proof=LABELS)
    every = sorted([*([joint] if joint else []), *ranked], key=lambda f: f.step_s)
    if not every and failure is not None:
        raise failure
    if decide is not None:
        every = _planned(decide, task, settings, every)
    elif task.problem.chooses_hosting and not _proven(joint):
        fixed = _planned(_solved, task, settings, every)
        every = sorted([*every, *fixed], key=lambda f: f.step_s)
    if not every:
        raise HeuristicFailedError(NOTHING_FOUND)
    best = every[0]
    return _told(best, proof, len(ranked), task)


def _proven(joint: _Found | None) -> bool:
    """Whether nothing can be better than the joint solution."""
    own = None if joint is None else joint.draft.certificate
    return own is not None and own.status == "optimal"


def _solved(task: Task, settings: Settings) -> Draft:
    """What the joint method finds where servers have no choice: less to decide, so more of it."""
    cost = CostModel(task.problem.fixed).lasting(task.cost.lasting_s)
    placement, routes, certificate = solve_precise(replace(task, cost=cost))
    if certificate.interrupted:
        raise KeyboardInterrupt
    own = task.cost
    placement = replace(placement, precision=own.precisions, wire=own.chosen_wires)
    return Draft(placement=placement, router="ws-rr", routes=routes)


def _told(best: _Found, proof: Certificate, tried: int, task: Task) -> Draft:
    """The best plan with what is proven of all choices."""
    draft, own = best.draft, best.draft.certificate
    what = "precisions" if task.problem.chooses_precision else "wires"
    note = f"{what}: the best of {tried} choices by type of server and the joint one"
    if not task.problem.chooses_hosting:
        note = "routes are kept within the accuracy budgets"
    if task.goal == STEP:
        bound = proof.objective.bound
        objective = Objective(
            goal=STEP, value=best.step_s, bound=None if bound is None else min(bound, best.step_s)
        )
        own = replace(proof, objective=objective)
    elif own is not None:
        # What bounds plans at fixed precisions does not bound others.
        own = replace(own, objective=replace(own.objective, bound=None), proof="")
    return replace(draft, certificate=own, notes=(*draft.notes, note))


def _joint(task: Task, settings: Settings) -> tuple[_Found | None, Exception | None]:
    """The joint problem solved for some of the time; or why there is no plan."""
    try:
        placement, routes, certificate = solve_precise(
            replace(task, deadline=task.deadline.share(JOINT_SHARE))
        )
    except InfeasibleError:
        raise
    except NoSolutionInTimeError as failure:
        return None, failure
    draft = Draft(placement=placement, router="ws-rr", routes=routes, certificate=certificate)
    value = certificate.objective.value
    return None if value is None else _Found(step_s=value, draft=draft), None


def _on_grid(task: Task) -> Iterator[_Found]:
    """CG-BP's plans at many choices."""
    late = task.deadline.share(GRID_SHARE)
    for ways in _choices(task.problem):
        settled = _at(task, ways)
        try:
            found = _held(Draft(placement=cg_bp(settled), router="ws-rr"), settled)
        except FAILURES:
            continue
        if found is not None:
            yield found
        if late.passed:
            return


def _planned(
    decide: Callable[[Task, Settings], Draft],
    task: Task,
    settings: Settings,
    ranked: Sequence[_Found],
) -> list[_Found]:
    """A method's plans at the best choices, best first; by response it plans for one only."""
    found: list[_Found] = []
    ways = list(dict.fromkeys(_ways(task.problem, f.draft) for f in ranked))[:MOST_PLANNED]
    for number, own in enumerate(ways):
        share = task.deadline.share(1.0 / (len(ways) - number)) if task.goal == STEP else None
        settled = _at(task if share is None else replace(task, deadline=share), own)
        try:
            held = _held(decide(settled, settings), settled)
        except FAILURES:
            continue
        if held is not None:
            found.append(held)
            if task.goal != STEP:
                break
        if task.deadline.passed:
            break
    return sorted(found, key=lambda f: f.step_s)


def promising(task: Task, figure: Callable[[Task, Draft], float]) -> list[Task]:
    """The task at the few choices that promise most, best first.

    Parameters
    ----------
    figure : what CG-BP's plan at such a choice is worth, more is better.

    Raises
    ------
    HeuristicFailedError
        If no choice has a plan within the budgets.
    """
    if not task.problem.chooses_hosting:
        return [task]
    found = []
    for plan in _on_grid(task):
        settled = _at(task, _ways(task.problem, plan.draft))
        found.append((figure(settled, plan.draft), settled))
    if not found:
        raise HeuristicFailedError(NOTHING_FOUND)
    found.sort(key=lambda ranked: -ranked[0])
    return [settled for _, settled in found[:MOST_PLANNED]]


def _held(draft: Draft, settled: Task) -> _Found | None:
    """A plan with routes within the budgets, None where some session has none."""
    routes = draft.routes
    if routes is None or any(overharmed(settled.cost, routes)):
        routes, unrouted = best_routes(settled.cost, draft.placement, settled.demand)
        if unrouted and settled.goal == STEP:
            return None
        if draft.routes is not None:
            draft = replace(draft, routes=routes)
    return _Found(step_s=step_objective_s(settled.cost, routes), draft=draft)


def _at(task: Task, ways: Hostings) -> Task:
    """The task where servers host so."""
    return task.on(task.problem.hosting_as(ways))


def _ways(problem: Problem, draft: Draft) -> Hostings:
    return draft.placement.settled(problem).hosting


def _choices(problem: Problem) -> Iterator[Hostings]:
    """One way for each type of server: all of them, or equal ones and one type changed."""
    kinds = list(dict.fromkeys(_kind(s) for s in problem.servers))
    every = {k: list(k[1]) for k in kinds}
    total = 1
    for ways in every.values():
        total *= len(ways)
    if total <= MOST_GRID:
        points = [dict(zip(kinds, p, strict=True)) for p in itertools.product(*every.values())]
    else:
        points = []
        for way in dict.fromkeys(w for ways in every.values() for w in ways):
            equal = {k: way if way in every[k] else every[k][0] for k in kinds}
            points.append(equal)
            points += [{**equal, k: other} for k in kinds for other in every[k] if other != way]
    seen: set[Hostings] = set()
    for point in points:
        chosen = tuple(point[_kind(s)] for s in problem.servers)
        if chosen not in seen:
            seen.add(chosen)
            yield chosen


def _kind(server: Server) -> tuple[str, Hostings, int]:
    return server.device, server.hostings, server.memory_bytes
