"""Planning for compute beside memory: how long sessions will last, and slots for them.

docs/model.md 12. Where no server works on one task at a time, or nothing comes, tasks stay as they
are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..chains.capacity import most_planned_per_s
from ..chains.compose import client_shares
from ..chains.knapsack import least_chains_s
from ..core.errors import HeuristicFailedError, InfeasibleError
from ..perfmodel.cost import CostModel
from ..perfmodel.memory import max_sessions, sessions_for_load
from .search.solve import placed_by_search
from .sessions import for_sessions
from .task import Task

#: A load is planned for as if at most this share of what is sustained at all.
MOST_BUSY = 0.9
#: Steps of search that tell whether the sessions fit, and share of the time limit for all of them.
TRIAL_STEPS, TRIAL_SHARE = 30, 0.3
#: Swarms on which sessions are fitted by search.
MOST_SERVERS = 300


def for_load(task: Task, *, sessions: int | None = None) -> Task:
    """The task with the sessions that are there under contention and as few slots as they fit.

    A request that takes T1 alone, on a swarm that is busy for the share rho, is expected to take
    ``T1 / (1 - rho)``; R follows from that as from T1 for memory alone (docs/model.md 5). Servers
    are to be busy for half of what the load leaves free at most, ``(1 + rho) / 2``; where the
    sessions do not fit then, for half of the rest, in the end for longer than there is time; then
    for half as many sessions. On large swarms, and where nothing fits, the task stays as it is.

    Parameters
    ----------
    sessions : R, if it is not to be derived.
    """
    given = task.problem.planning.sessions if sessions is None else sessions
    asked = task if given is None else for_sessions(task, given)
    cost, rate = task.cost, task.problem.workload.rate_per_s
    busy = busy_frac(cost)
    alone_s = _alone_s(cost) if busy else np.inf
    if not np.isfinite(alone_s) or task.problem.num_servers > MOST_SERVERS:
        return asked
    expected_s, z = alone_s / (1.0 - busy), task.problem.planning.safety_z
    count = given or sessions_for_load(rate, expected_s, z, max_sessions(cost))
    trial = task.deadline.share(TRIAL_SHARE)
    while not trial.passed:
        lasting_s = max(expected_s, count / rate)
        for use in _uses(busy):
            slots = cost.lasting(use * lasting_s)
            tried = replace(for_sessions(task, count), cost=slots)
            if _fits(replace(tried, deadline=trial)):
                return tried
        if given or count <= task.sessions:
            break
        count = max(task.sessions, count // 2)
    return asked


def busy_frac(cost: CostModel) -> float:
    """The load as a share of what no plan exceeds; 0 where compute does not count."""
    most = most_planned_per_s(cost) if cost.serial.any() else 0.0
    return min(cost.problem.workload.rate_per_s / most, MOST_BUSY) if most > 0 else 0.0


def _uses(busy: float) -> Iterator[float]:
    """Shares of the time for which a server may compute, tightest first."""
    use = 0.5 * (1.0 + busy)
    yield from (use, 0.5 * (1.0 + use), 1.0, 1.2, 1.5, 2.0)


def _fits(task: Task) -> bool:
    """Whether a short search finds a chain for every session."""
    try:
        placed_by_search(replace(task, gap=1.0, on_progress=None), max_steps=TRIAL_STEPS)
    except (HeuristicFailedError, InfeasibleError):
        return False
    return True


def _alone_s(cost: CostModel) -> float:
    """The mean request alone on its fastest chain; infinite where some client has none."""
    shares = client_shares(cost.problem)
    paid = [cost.planned(c) for c in range(len(shares))]
    alone = least_chains_s(cost, paid, cost.problem.planning.session_tokens)
    least = np.where(shares > 0, alone, 0.0)
    return float(shares @ least) + cost.problem.session_setup_s


def in_words(cost: CostModel) -> str:
    """What a proof on these costs assumes, in front of it; empty where memory alone counts."""
    if not np.isfinite(cost.lasting_s):
        return ""
    return f"with compute slots of {cost.lasting_s:.4g} s, "
