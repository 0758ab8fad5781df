"""Drafts raced through the simulator: formulas are trusted once they have beaten no drafts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..core.drafting import MOST_DRAFTS, NO_USE, Use
from ..core.errors import HeuristicFailedError, NoRouteError, RequestTooLargeError
from ..core.objective import MEAN_RESPONSE, Objective
from ..core.plan import Placement, PlannedRoute
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..placement.rules.cg_bp import cg_bp
from ..placement.sessions import demand_of, target_sessions
from ..placement.task import Task
from ..routing.offline import best_routes
from ..workload.draw import draw_requests
from .certify import measured
from .draft import Draft, Settings
from .drafting import DraftChoice
from .judge import Judge, requests_needed

Uses = tuple[Use, ...]
#: Shares of the time limit: until then a plan for drafts, where one without them may follow, and
#: the last plan are made; the rest is for races.
PLANNED_SHARE, PLAIN_SHARE = 0.5, 0.8
#: Requests of each race, and races on fresh ones in which the winner has to beat no drafts: fewer
#: where time is out. So many ways to draft are tried in any case, none among them.
REQUESTS, FRESH, LEAST_FRESH, LEAST_TRIED = 600, 5, 2, 2
#: A gain over no drafts from which no other placement makes up for it. Only where formulas promise
#: so much a plan is made for drafts: it hardly differs from one without.
SURE_GAIN = 1.5
#: Own numbers of drafts on single chains are tried where formulas say that they leave such a share
#: of the time per token; runs of them are not compiled, and so of fewer requests.
ROUTED_SHARE, ROUTED_REQUESTS = 0.99, 1_000
#: Drafts with which chains are looked for where some cannot be drafted: their order hardly depends
#: on the number.
USUAL = 4
#: Apart from the draws that plans are chosen and judged by.
SEED_OFFSET = 6_543_210


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A plan with the drafts of its clients."""

    draft: Draft
    uses: Uses

    def figures(self, task: Task, settings: Settings, seed: int) -> tuple[int, float]:
        """Requests that were not served, and what the task's goal looks at."""
        problem = task.problem.with_drafts(self.uses)
        requests = draw_requests(
            problem, SEED_OFFSET + task.seed + seed, num_requests=_requests(task)
        )
        judge = Judge(CostModel.of(problem), requests, admission=settings.admission, goal=task.goal)
        found = judge(self.draft.placement, self.draft.router)
        return found.unserved, found.figure_s if found.figure_s == found.figure_s else math.inf


def with_drafts(decide: Callable[[Task, Settings], Draft], task: Task, settings: Settings) -> Draft:
    """The plan of a method together with the drafts of its clients.

    The method plans for none, or, where formulas promise much of drafts, for these. On its plan
    several ways to draft are raced, and none. Where a plan for drafts does not win by far, the
    method plans for none too. What drafts gain has to hold on fresh requests.

    Parameters
    ----------
    decide : the method, for a problem where it is settled how clients draft.
    """
    none = _none(task.problem)
    liked, promised = first_guess(task)
    guess = liked if promised * SURE_GAIN <= 1.0 else none
    share = PLAIN_SHARE if guess == none else PLANNED_SHARE
    begun = replace(task, deadline=task.deadline.share(share))
    draft = decide(_at(begun, guess), settings)
    draft = replace(draft, drafts=guess)
    if draft.interrupted:
        return draft
    try:
        return _raced(decide, task, settings, draft, liked)
    except KeyboardInterrupt:
        return replace(draft, interrupted=True)


def _raced(
    decide: Callable[[Task, Settings], Draft],
    task: Task,
    settings: Settings,
    draft: Draft,
    liked: Uses,
) -> Draft:
    """The best way to draft on a plan that was made for some drafts, and what it gains."""
    none, limited = _none(task.problem), draft.drafts != _none(task.problem)
    late = replace(task, deadline=task.deadline.share(PLAIN_SHARE))
    tried = [Contender(draft=draft, uses=u) for u in _options(task, draft.placement, liked)]
    race = []
    for number, contender in enumerate(tried):
        if number < LEAST_TRIED or not task.deadline.passed:
            race.append((contender.figures(task, settings, 0), number, contender))
    plain = next(c for c in tried if c.uses == none)
    plain_figures = next(f for f, _, c in race if c is plain)
    best_figures, _, best = min(race)
    if best is plain and not limited:
        return replace(draft, drafts=none)
    far = best_figures[0] == 0 and best_figures[1] * SURE_GAIN < plain_figures[1]
    if limited and not far:
        found = (draft.placement, draft.router), *settings.known
        made = decide(_at(late, none), replace(settings, known=found))
        plain = Contender(draft=replace(made, drafts=none), uses=none)
    if best.uses == none or not _holds(best, plain, task, settings):
        best = plain
    else:
        best = _by_route(best, task, settings)
    return _told(best, plain, task, settings, len(race))


def first_guess(task: Task) -> tuple[Uses, float]:
    """What formulas like best on routes through CG-BP's placement, and the share of the time per
    token that they promise; none where there is no such placement."""
    plain = _at(task, _none(task.problem))
    try:
        routes = _routes(plain, cg_bp(plain))
    except (HeuristicFailedError, NoRouteError, RequestTooLargeError):
        return _none(task.problem), 1.0
    choice = DraftChoice(task.problem, routes)
    uses = choice.chosen()
    return uses, choice.share(uses)


def with_uses(draft: Draft, problem: Problem, sessions: int | None = None) -> Draft:
    """A draft that says how clients draft: where a method leaves it open what formulas like best.

    Parameters
    ----------
    sessions : R of the planned routes; derived when left out.
    """
    if draft.drafts or not problem.drafting:
        return draft
    if not problem.drafts_freely:
        return replace(draft, drafts=problem.drafts)
    cost = CostModel.of(problem.with_drafts(_usual(problem)))
    routes = draft.routes
    if routes is None:
        demand = demand_of(problem, sessions or target_sessions(cost))
        routes, _ = best_routes(cost, draft.placement, demand)
    choice = DraftChoice(problem, routes)
    return replace(draft, drafts=choice.by_route(choice.chosen()))


def _options(task: Task, placement: Placement, liked: Uses) -> Sequence[Uses]:
    """None, what was liked before, what formulas say of this placement, fewer and more of these."""
    plain = _at(task, _none(task.problem))
    found: list[Uses] = [_none(task.problem), liked]
    try:
        choice = DraftChoice(task.problem, _routes(plain, placement))
        found += [choice.together()[0], choice.priced(), choice.alone()]
    except (NoRouteError, RequestTooLargeError):
        pass
    for uses in tuple(found):
        found += [_scaled(task.problem, uses, factor) for factor in (0.5, 0.75, 1.4)]
    return list(dict.fromkeys(found))


def _scaled(problem: Problem, uses: Uses, factor: float) -> Uses:
    """So many times as many drafts for all who may choose and draft at all."""
    return tuple(
        Use(min(MOST_DRAFTS, max(1, round(factor * use.tokens))), use.model)
        if own.free and use.tokens
        else use
        for use, own in zip(uses, problem.drafting, strict=True)
    )


def _by_route(best: Contender, task: Task, settings: Settings) -> Contender:
    """The same with a number of drafts for each planned chain, where that is worth while."""
    if task.deadline.passed:
        return best
    drafted = _at(task, best.uses)
    routes, _ = best_routes(drafted.cost, best.draft.placement, drafted.demand)
    choice = DraftChoice(task.problem, routes)
    routed = replace(best, uses=choice.by_route(best.uses))
    if choice.share(routed.uses) > ROUTED_SHARE * choice.share(best.uses):
        return best
    return routed if _holds(routed, best, task, settings) else best


def _routes(task: Task, placement: Placement) -> tuple[PlannedRoute, ...]:
    """Chains for the task's sessions; those that are good for drafts where that makes a difference.

    Raises
    ------
    NoRouteError, RequestTooLargeError
        As ``best_routes``.
    """
    cost = CostModel.of(task.problem.with_drafts(_usual(task.problem)))
    return best_routes(cost, placement, task.demand)[0]


def _holds(one: Contender, plain: Contender, task: Task, settings: Settings) -> bool:
    """Whether fresh requests agree that drafts are better than none: fewer unserved, less time."""
    pairs = [
        [c.figures(task, settings, number) for c in (one, plain)]
        for number in range(1, FRESH + 1)
        if number <= LEAST_FRESH or not task.deadline.passed
    ]
    lost = [sum(pair[i][0] for pair in pairs) for i in (0, 1)]
    if lost[0] != lost[1]:
        return lost[0] < lost[1]
    return sum(pair[0][1] for pair in pairs) < sum(pair[1][1] for pair in pairs)


def _told(best: Contender, plain: Contender, task: Task, settings: Settings, count: int) -> Draft:
    """The winner, with what its drafts gain."""
    draft = _certified(best, task)
    if best is plain:
        note = f"drafts: none, of {count} ways to draft none is better on fresh requests"
        return replace(draft, notes=(*draft.notes, note))
    ours, theirs = (c.figures(task, settings, 1)[1] for c in (best, plain))
    note = (
        f"drafts: {task.goal.words} {ours:.4g} s, without them {theirs:.4g} s (fresh requests), "
        f"the best of {count} ways to draft"
    )
    return replace(draft, notes=(*draft.notes, note))


def _certified(best: Contender, task: Task) -> Draft:
    """The draft of a plan with the drafts of its clients, its figure measured with these."""
    draft, proof = best.draft, best.draft.certificate
    if draft.drafts == best.uses or proof is None or proof.trial is None:
        return replace(draft, drafts=best.uses)
    cost, goal, trial = _at(task, best.uses).cost, proof.objective.goal, proof.trial
    if any(use.chains for use in best.uses):
        trial = replace(trial, requests=min(trial.requests, ROUTED_REQUESTS))
    value = measured(cost, draft.placement, draft.router, goal, trial)
    return replace(
        draft,
        drafts=best.uses,
        certificate=replace(
            proof, objective=Objective(goal=goal, value=value), proof="", trial=trial
        ),
        candidates=tuple(
            replace(c, figure=value, requests=trial.requests) if c.verdict == "chosen" else c
            for c in draft.candidates
        ),
    )


def _at(task: Task, uses: Uses) -> Task:
    """The task where clients draft so: who drafts is done sooner, so that fewer run at once."""
    problem = task.problem.with_drafts(uses)
    return at_drafts(task, CostModel.of(problem), None)


def at_drafts(task: Task, cost: CostModel, sessions: int | None) -> Task:
    """A task with the costs of other drafts; R is derived anew unless it is given."""
    if cost is task.cost:
        return task
    total = min(task.sessions, target_sessions(cost)) if sessions is None else sessions
    return replace(task, cost=cost, sessions=total, demand=demand_of(cost.problem, total))


def _none(problem: Problem) -> Uses:
    """Nobody drafts who may choose."""
    return tuple(NO_USE if own.free else own.use for own in problem.drafting)


def _usual(problem: Problem) -> Uses:
    """With what chains are looked for: it makes a difference only where some cannot be drafted."""
    if not problem.forward_only:
        return _none(problem)
    return tuple(Use(USUAL) if own.free and own.models else own.use for own in problem.drafting)


def _requests(task: Task) -> int:
    if task.problem.forward_only:  # such runs are not compiled
        return REQUESTS // 3
    return requests_needed(task.cost) * REQUESTS if task.goal == MEAN_RESPONSE else 2 * REQUESTS
