"""The mixed-integer programme as a method: started from a good plan, never larger than it can be.

PuLP needs about a millisecond per pair of servers and session to write the programme down, time
in which neither the limit nor Ctrl-C reaches a solver. So large programmes let all sessions of a
client share one route (a restriction: it proves nothing), and the largest are not tried at all.
"""

from __future__ import annotations

from dataclasses import replace

from ..core.errors import HeuristicFailedError, NoSolutionInTimeError
from ..core.plan import Placement
from ..placement.search.solve import SEARCH_GAP, placed_by_search
from ..placement.task import Task
from .draft import Draft, Settings

#: Online router of plans that were made by a solver.
ROUTER = "overlap"
#: Steps of the search whose plan the programme begins with.
START_STEPS = 100
#: Pairs of servers times routes that are still written down.
MOST_LINKS = 25_000


def milp(task: Task, settings: Settings) -> Draft:
    """The best plan of the programme, or the one that it began with when that is better.

    Raises
    ------
    NoSolutionInTimeError
        If there is no plan to begin with and the programme is too large or finds none.
    InfeasibleError
        If the programme proves that no plan exists.
    """
    start = _start(task)
    pairs = task.problem.num_servers**2
    aggregate = pairs * task.sessions > MOST_LINKS
    if aggregate and pairs * len(task.demand) > MOST_LINKS:
        if start is None:
            raise NoSolutionInTimeError("the programme is too large to be written down in time")
        note = "milp: too large to be written down; this is the plan it would begin with"
        return Draft(placement=start, router=ROUTER, notes=(note,))
    from ..placement.milp.solve import solve_milp  # PuLP is slow to load

    try:
        placement, routes, certificate = solve_milp(
            task, solver=settings.solver, aggregate=aggregate, warm_start=start
        )
    except (KeyboardInterrupt, NoSolutionInTimeError) as reason:
        if start is None:
            raise
        note = "milp: no better plan than the one it began with"
        interrupted = isinstance(reason, KeyboardInterrupt)
        return Draft(placement=start, router=ROUTER, interrupted=interrupted, notes=(note,))
    note = "milp: all sessions of a client share one route, so the programme proves no bound"
    return Draft(
        placement=placement,
        router=ROUTER,
        routes=routes,
        certificate=certificate,
        notes=(note,) if aggregate else (),
    )


def _start(task: Task) -> Placement | None:
    """The plan of a short search, None when it finds none."""
    try:
        short = replace(task, gap=SEARCH_GAP, on_progress=None)
        return placed_by_search(short, max_steps=START_STEPS)
    except HeuristicFailedError:
        return None
