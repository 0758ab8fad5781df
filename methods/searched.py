"""Placements that the methods ``search`` and ``exact`` make, as candidates of ``auto``.

Both serve R sessions at once with the least time per token, for every client by itself; chains are
composed for the mean client. What they find suits no load in particular: the race tells, also of
what a search came by on its way, and of both with the servers in use that they leave idle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from ..core.errors import HeuristicFailedError, InfeasibleError, SolverError
from ..core.plan import Placement
from ..placement.compute import for_load
from ..placement.rules.joining import all_joined
from ..placement.search.solve import SEARCH_GAP, placed_by_search, placements_by_search
from ..placement.sessions import for_sessions
from ..placement.task import Task
from ..solve.deadline import NEVER, Deadline

#: Short searches for these multiples of R, on swarms that are not too large for them, and steps of
#: each.
SEARCHED_SESSIONS = (1.0, 1.5, 2.0)
SEARCH_STEPS = 300
MOST_SERVERS_TO_SEARCH = 300
#: Then a long one of so many steps, and the exact method, which ends by a proof or by the clock;
#: shares that they may take of the time that is left for candidates.
LONG_STEPS = 24_000
LONG_SHARE, EXACT_SHARE = 0.6, 0.8
MOST_SERVERS_TO_SOLVE = 100
#: Time of each where there is no limit.
UNLIMITED_S = 60.0

#: A name, and what makes the placement; and placements with their names, which are made together.
Made = tuple[str, Callable[[], Placement]]
Named = tuple[str, Placement]


def short_searches(task: Task) -> Iterator[Made]:
    """Searches for R and more concurrent sessions; none on swarms that are too large."""
    if task.problem.num_servers > MOST_SERVERS_TO_SEARCH:
        return
    planned = for_load(task).sessions
    for sessions in dict.fromkeys(max(1, round(f * planned)) for f in SEARCHED_SESSIONS):
        yield f"search R={sessions}", partial(_searched, task, sessions)


def thorough_plans(task: Task) -> Iterator[Callable[[], Sequence[Named]]]:
    """What the methods ``search`` and ``exact`` themselves find in a part of the time, and what
    comes with it."""
    if task.problem.num_servers > MOST_SERVERS_TO_SOLVE:
        return
    yield partial(_thorough, "search, long", _long_search, task, LONG_SHARE)
    yield partial(_thorough, "exact", _exact, task, EXACT_SHARE)


def _searched(task: Task, sessions: int) -> Placement:
    """What a short search finds for this many concurrent sessions; repeatable by its steps."""
    asked = replace(for_sessions(task, sessions), deadline=NEVER, gap=SEARCH_GAP, on_progress=None)
    asked = for_load(asked, sessions=sessions)
    return placed_by_search(asked, max_steps=SEARCH_STEPS)


def _thorough(
    name: str, make: Callable[[Task, Deadline], Sequence[Placement]], task: Task, share: float
) -> Sequence[Named]:
    """What a solver finds for R sessions, until a share of the time that is left is over; and where
    requests wait for each other what it passed, and all of them with the servers that they leave
    idle: elsewhere time per token says more of a plan.

    Raises
    ------
    HeuristicFailedError
        If it finds nothing, or proves that so many sessions have no plan: fewer may have one.
    """
    until = task.deadline.share(share)
    if until == NEVER:
        until = Deadline.after(UNLIMITED_S)
    asked = for_load(replace(task, on_progress=None))
    try:
        made = make(asked, until)
    except (InfeasibleError, SolverError) as error:
        raise HeuristicFailedError(str(error)) from error
    if not task.cost.serial.any():
        return [(name, made[0])]
    found = [(f"{name}, passed {i}" if i else name, p) for i, p in enumerate(made)]
    joined = [(f"{n}, all join", all_joined(task.cost, p, asked.sessions)) for n, p in found]
    return [*found, *joined]


def _long_search(task: Task, until: Deadline) -> Sequence[Placement]:
    asked = replace(task, deadline=until, gap=SEARCH_GAP)
    return placements_by_search(asked, max_steps=LONG_STEPS)


def _exact(task: Task, until: Deadline) -> Sequence[Placement]:
    from ..placement.exact.solve import solve_exact  # HiGHS is slow to load

    placement, _, certificate = solve_exact(replace(task, deadline=until))
    if certificate.interrupted:
        raise KeyboardInterrupt
    return [placement]
