"""``auto``: several ways to place and route, compared on the scenario's own workload.

Closed-form bounds first, then a race through the simulator with common random numbers; the best
plan wins and brings the table of all candidates. docs/auto.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ..core.drafting import NO_USE
from ..core.objective import STEP, THROUGHPUT, Objective
from ..core.plan import Certificate, Trial
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..placement.search.solve import after_compiling
from ..placement.task import Task
from .candidates import GIVEN, Entry, entries
from .certify import ALONE, floor_of
from .draft import Draft, Settings
from .drafting import drafted
from .draftrace import with_drafts
from .improving import affords_moves, improved
from .judge import REHEARSED, judge_for, requests_needed
from .race import INTERRUPTED, Race, Runner, behind
from .routed import routed
from .searched import MOST_SERVERS_TO_SEARCH
from .ties import untied

#: Offset of the seeds of auto's own requests, so that a plan is never chosen on the very draws on
#: which a comparison with the same seed tests it.
SEED_OFFSET = 7_654_321
#: Requests of the rounds in multiples of the requests that run at once, and their limits; the
#: candidates that stay after each.
ROUNDS = ((4.0, 150, 1_500, 8), (10.0, 400, 4_000, 3), (25.0, 4_000, 10_000, 1))
#: Placements that lead after the first round run on with these routers too, unless all servers work
#: on one task at a time: then none but the first comes near.
LEADERS = 3
OTHER_ROUTERS = ("overlap", "jffc", "fastest-free", "ws-rr")
#: Shares of the time limit: until then placements are made, the best ones are improved and tried
#: with every router. The race ends by itself; where it takes long nothing that comes later is worth
#: as much as its rounds.
CANDIDATES_SHARE, RACE_SHARE, IMPROVING_SHARE, ROUTED_SHARE = 0.45, 0.8, 0.5, 0.95
#: Where moves take too long to simulate for enough to be tried, searches have that time as well.
UNIMPROVED_SHARE = 0.6
#: A run of one request takes longer only where code is compiled first.
COMPILED_S = 3.0
TRACE_ROUNDS = (1_500, 4_000, 10_000)


def auto(task: Task, settings: Settings) -> Draft:
    """The best plan of the portfolio for the task's goal.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        If no placement can be made.
    """
    if task.goal == THROUGHPUT and not task.cost.drafts_alike:
        nobody = (NO_USE,) * len(task.problem.drafting)
        task = replace(task, cost=CostModel.of(task.problem.with_drafts(nobody)))
    if task.goal == STEP:
        from .latency import least_latency  # HiGHS is slow to load

        return least_latency(task, settings.known)
    if task.goal == THROUGHPUT:
        from .throughput import most_throughput  # the layouts are not needed otherwise

        return most_throughput(task, settings)
    if task.problem.drafts_freely:
        return with_drafts(_least_response, task, settings)
    return _least_response(task, settings)


def _least_response(task: Task, settings: Settings) -> Draft:
    """Race all candidates, then improve the best one."""
    problem = task.problem
    if problem.num_servers <= MOST_SERVERS_TO_SEARCH:
        task = after_compiling(task)
    share = CANDIDATES_SHARE if affords_moves(task) else UNIMPROVED_SHARE
    early = replace(task, deadline=task.deadline.share(share))
    found = entries(early, settings.known, thorough=True)
    compiling_s = _compiling_s(task, settings, found[0])
    task = replace(task, deadline=task.deadline.later(compiling_s))
    improving = task.deadline.share(IMPROVING_SHARE)
    race = Race(
        rounds=_rounds(task, found),
        judge_of=partial(judge_for, task, settings, SEED_OFFSET, 0),
        more=lambda leaders: [] if task.cost.serial.all() else _further(problem, found, leaders),
        goal=task.goal,
        deadline=task.deadline.share(RACE_SHARE),
        on_progress=task.on_progress,
    )
    ranked, stopped = race.run(_lined_up(problem, found))
    told = [f"auto: {stopped}: not every candidate had its full run"] if stopped else []
    if compiling_s:
        told.append(f"auto: {compiling_s:.0f} s of compiling, once on a machine, beyond the limit")
    interrupted = stopped == INTERRUPTED
    if not interrupted:
        try:
            ranked = untied(task, settings, ranked)
            ranked, said = improved(task, settings, ranked, improving, race.judge_of)
            ranked, cut = routed(
                task, settings, ranked, task.deadline.share(ROUTED_SHARE), race.judge_of
            )
            told += [*said, *cut]
        except KeyboardInterrupt:
            interrupted = True
    best = ranked[0]
    for runner in ranked[1:]:
        if runner.requests == best.requests:
            runner.verdict = behind(runner, best)
    best.verdict = "chosen"
    notes = (
        f"auto: {best.name} with {best.router}: {task.goal.words} {best.figure_s:.4g} s over "
        f"{best.requests} requests, the least of {len(ranked)} candidates",
        *told,
    )
    return Draft(
        placement=best.placement,
        router=best.router,
        certificate=_certificate(task, settings, best, interrupted=interrupted),
        candidates=tuple(r.candidate() for r in ranked),
        notes=notes,
        interrupted=interrupted,
    )


def _compiling_s(task: Task, settings: Settings, entry: Entry) -> float:
    """What the first run of the simulator took where it had to be compiled, else 0.

    It is not of the limit: a race that it leaves no time for chooses by chance.
    """
    begun = time.monotonic()
    judge_for(task, settings, SEED_OFFSET, 0, 1)(entry.plan.placement, REHEARSED[0])
    took_s = time.monotonic() - begun
    return took_s if took_s > COMPILED_S else 0.0


def _certificate(task: Task, settings: Settings, best: Runner, *, interrupted: bool) -> Certificate:
    """The figure of the chosen plan, and what no plan could bring it below."""
    if not best.served:
        return Certificate(objective=Objective(goal=task.goal), interrupted=interrupted)
    trial = Trial(
        seed=SEED_OFFSET + task.seed, requests=best.requests, admission=settings.admission
    )
    bound = None
    # How many passes a request takes is luck: alone in the swarm it may take less than is expected.
    if not (best.unserved or drafted(task.problem)):
        bound = min(best.figure_s, floor_of(task.cost, task.goal, trial))
    return Certificate(
        objective=Objective(goal=task.goal, value=best.figure_s, bound=bound),
        proof="" if bound is None else ALONE,
        interrupted=interrupted,
        trial=trial,
    )


def _rounds(task: Task, found: Sequence[Entry]) -> list[tuple[int, int]]:
    """(requests, runners that stay) of each round."""
    problem, more = task.problem, requests_needed(task.cost)
    own = [e for e in found if e.rank != GIVEN]
    busy = problem.workload.rate_per_s * min(e.alone_s for e in own or found)
    rounds = [
        (more * int(min(max(scale * busy, low), high)), stay) for scale, low, high, stay in ROUNDS
    ]
    if problem.workload.trace:  # its beginning says little of the bursts to come
        total = problem.workload.num_requests
        rounds = [(min(total, n), stay) for n, (_, stay) in zip(TRACE_ROUNDS, rounds, strict=True)]
    return rounds


def _further(problem: Problem, found: Sequence[Entry], leaders: Sequence[Runner]) -> list[Runner]:
    """The placements that lead, with the routers that they have not run with."""
    known = {(id(e.plan.placement), router) for e in found for router in e.routers}
    own = [r for r in leaders if not r.given][:LEADERS]
    return [
        _runner(problem, e, router)
        for leader in (*own, *(r for r in leaders if r.given))
        for e in found
        if e.plan.placement is leader.placement
        for router in OTHER_ROUTERS
        if (id(leader.placement), router) not in known
    ]


def _lined_up(problem: Problem, found: Sequence[Entry]) -> list[Runner]:
    """All candidates. The race may be cut short: what is there already comes first, then what is
    fast to simulate, then the leader and the rivals, so that auto never loses to one."""
    rows = [(i, e, router) for i, e in enumerate(found) for router in e.routers]
    rows.sort(
        key=lambda row: (
            row[1].rank != GIVEN,
            row[2] != REHEARSED[0],
            0 if row[0] == 0 else row[1].rank,
        )
    )
    return [_runner(problem, entry, router) for _, entry, router in rows]


def _runner(problem: Problem, entry: Entry, router: str) -> Runner:
    return Runner(
        name=entry.plan.name,
        placement=entry.plan.placement,
        router=router,
        bound_s=entry.plan.lower_s + problem.session_setup_s,
        alone_s=entry.alone_s,
        given=entry.rank == GIVEN,
    )
