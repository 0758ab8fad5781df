"""``auto``: several ways to place and route, compared on the scenario's own workload.

Closed-form bounds first, then a race through the simulator with common random numbers; the best
plan wins and brings the table of all candidates. docs/auto.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from ..core.plan import Candidate
from ..core.problem import Problem
from ..core.workload import Request
from ..placement.alone import least_responses_s
from ..routing.api import RouterFactory
from ..scenarios.workload import draw_requests
from ..simulator.metrics import Distribution
from .candidates import Entry, entries
from .draft import Draft, Settings
from .race import INTERRUPTED, WARM_UP, Race, Runner

#: Offset of the seeds of auto's own requests, so that a plan is never chosen on the very draws on
#: which a comparison with the same seed tests it.
SEED_OFFSET = 7_654_321
#: Requests of the rounds in multiples of the requests that run at once, and their limits; the
#: candidates that stay after each.
ROUNDS = ((4.0, 150, 1_500, 8), (10.0, 400, 4_000, 3), (25.0, 1_000, 10_000, 1))
#: Placements that lead after the first round run on with these routers too.
LEADERS = 3
OTHER_ROUTERS = ("jffc", "fastest-free", "ws-rr")
#: Of the time limit: after this share no further placement is made, after that no run begun.
CANDIDATES_SHARE, RACE_SHARE = 0.35, 0.9
TRACE_ROUNDS = (1_500, 4_000, 10_000)


def auto(problem: Problem, settings: Settings, routers: dict[str, RouterFactory]) -> Draft:
    """The best plan of the portfolio for the objective of the settings.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        If no placement can be made.
    """
    began = time.monotonic()
    if settings.objective == "latency":
        from .latency import least_latency  # HiGHS is slow to load

        return least_latency(problem, settings)
    if settings.objective == "throughput":
        return _most_throughput(problem, settings)
    return _least_response(problem, settings, routers, began)


def _least_response(
    problem: Problem, settings: Settings, routers: dict[str, RouterFactory], began: float
) -> Draft:
    """Race all candidates."""
    limit = settings.time_limit_s
    until = math.inf if limit is None else began + CANDIDATES_SHARE * limit
    found = entries(problem, seed=settings.seed, until_s=until)
    # The race may be cut short: rivals run right after the leader, so that auto never loses to one.
    order = (*found[:1], *sorted(found[1:], key=lambda e: not e.rival))
    runners = [_runner(problem, e, router) for e in order for router in e.routers]
    busy = problem.workload.rate_per_s * min(e.alone_s for e in found)
    rounds = [(int(min(max(scale * busy, low), high)), stay) for scale, low, high, stay in ROUNDS]
    if problem.workload.trace:  # its beginning says little of the bursts to come
        total = problem.workload.num_requests
        rounds = [(min(total, n), stay) for n, (_, stay) in zip(TRACE_ROUNDS, rounds, strict=True)]

    def more(leaders: Sequence[Runner]) -> list[Runner]:
        """The placements that lead, with the routers that they have not run with."""
        known = {(id(r.placement), r.router) for r in runners}
        return [
            _runner(problem, e, router)
            for leader in leaders[:LEADERS]
            for e in found
            if e.plan.placement is leader.placement
            for router in OTHER_ROUTERS
            if (id(leader.placement), router) not in known
        ]

    race = Race(
        problem=problem,
        routers=routers,
        rounds=rounds,
        requests_of=lambda count: _requests(problem, settings.seed, count),
        admission=settings.admission,
        more=more,
        tail=settings.metric == "p95",
        deadline_s=None if limit is None else began + RACE_SHARE * limit,
        on_progress=settings.on_progress,
        began_s=began,
    )
    ranked, stopped = race.run(runners)
    best = ranked[0]
    best.verdict = "chosen"
    what = "95th percentile" if settings.metric == "p95" else "mean"
    notes = [
        f"auto: {best.name} with {best.router}: {what} response {best.figure_s:.4g} s over "
        f"{best.requests} simulated requests, the least of {len(ranked)} candidates"
    ]
    if best.served and not best.unserved:
        least_s = floor_s(problem, _requests(problem, settings.seed, best.requests), race.tail)
        left = max(0.0, 1.0 - least_s / best.figure_s)
        notes.append(
            f"auto: no plan brings this {what} below {least_s:.4g} s (proven for these requests): "
            f"at most {left * 100:.1f} % is left to gain"
        )
    if stopped:
        notes.append(f"auto: {stopped}: not every candidate had its full run")
    return Draft(
        placement=best.placement,
        router=best.router,
        candidates=tuple(r.candidate() for r in ranked),
        notes=tuple(notes),
        interrupted=stopped == INTERRUPTED,
    )


def _runner(problem: Problem, entry: Entry, router: str) -> Runner:
    return Runner(
        name=entry.plan.name,
        placement=entry.plan.placement,
        router=router,
        bound_s=entry.plan.lower_s + problem.session_setup_s,
        alone_s=entry.alone_s,
    )


def floor_s(problem: Problem, requests: Sequence[Request], tail: bool) -> float:
    """What no plan can beat: the figure of the race if every request had the swarm for itself."""
    counted = sorted(requests, key=lambda r: r.arrival_s)[int(len(requests) * WARM_UP) :]
    least = Distribution.of(least_responses_s(problem, counted))
    return least.p95 if tail else least.mean


def _requests(problem: Problem, seed: int, count: int) -> Sequence[Request]:
    return draw_requests(problem, SEED_OFFSET + seed, num_requests=count)


def _most_throughput(problem: Problem, settings: Settings) -> Draft:
    """The placement whose composed chains sustain the highest rate: JFFC reaches it."""
    found = sorted(entries(problem, seed=settings.seed), key=lambda e: -e.plan.rate_per_s)
    best = found[0]
    return Draft(
        placement=best.plan.placement,
        router="jffc",
        candidates=tuple(_by_rate(e, best) for e in found),
        notes=(
            f"auto: {best.plan.name} sustains {best.plan.rate_per_s:.4g} requests/s, the most of "
            f"{len(found)} candidates",
        ),
    )


def _by_rate(entry: Entry, best: Entry) -> Candidate:
    less = 1.0 - entry.plan.rate_per_s / best.plan.rate_per_s
    return Candidate(
        placement=entry.plan.name,
        router="jffc",
        bound=None,
        figure=entry.plan.rate_per_s,
        requests=0,
        verdict="chosen" if entry is best else f"sustains {less * 100:.1f} % less",
    )
