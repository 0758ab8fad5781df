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
from ..perfmodel.memory import blocks_alone, max_sessions
from .search.solve import solve_search
from .sessions import for_sessions
from .task import Task

#: A load is planned for as if at most this share of what is sustained at all.
MOST_BUSY = 0.95
#: Steps of search that tell whether the sessions fit.
TRIAL_STEPS = 30
#: Swarms on which sessions are fitted by search.
MOST_SERVERS = 300


def for_load(task: Task, *, sessions: int | None = None) -> Task:
    """The task with slots for compute, and with the sessions that are there under contention.

    A request that takes T1 alone, on a swarm that is busy for the share rho, is expected to take
    ``T1 / (1 - rho)``; as many come in that time are there at once (Little).

    Parameters
    ----------
    sessions : R, if it is not to be derived.
    """
    cost, rate = task.cost, task.problem.workload.rate_per_s
    busy = busy_frac(cost)
    if not busy:
        return task
    given = task.problem.planning.sessions if sessions is None else sessions
    lasting_s = _alone_s(cost) / (1.0 - busy)
    if not np.isfinite(lasting_s):
        return task
    count = given or max(1, min(round(rate * lasting_s), max_sessions(cost)))
    lasting_s = max(lasting_s, count / rate)
    return replace(for_sessions(task, count), cost=cost.lasting(lasting_s))


def busy_frac(cost: CostModel) -> float:
    """The load as a share of what no plan exceeds; 0 where compute does not count."""
    most = most_planned_per_s(cost) if cost.serial.any() else 0.0
    return min(cost.problem.workload.rate_per_s / most, MOST_BUSY) if most > 0 else 0.0


def fitted(task: Task) -> Task:
    """A task for a load with as few slots for compute as its sessions fit.

    Servers are to be busy for half of what the load leaves free at most, ``(1 + rho) / 2``; where
    the sessions do not fit then, for half of the rest, in the end for as long as it takes. On large
    swarms, and where nothing fits, the slots are those of memory alone.
    """
    if not np.isfinite(task.cost.lasting_s):
        return task
    if task.problem.num_servers <= MOST_SERVERS:
        for use in _uses(busy_frac(task.cost)):
            tried = replace(task, cost=task.cost.lasting(use * task.cost.lasting_s))
            if task.deadline.passed:
                break
            if _fits(tried):
                return tried
    return replace(task, cost=CostModel.of(task.problem))


def _uses(busy: float) -> Iterator[float]:
    """Shares of the time for which a server may compute, tightest first."""
    use = 0.5 * (1.0 + busy)
    yield from (use, 0.5 * (1.0 + use), 1.0, 1.2, 1.5, 2.0)


def _fits(task: Task) -> bool:
    """Whether a short search finds a chain for every session."""
    try:
        solve_search(replace(task, gap=1.0, on_progress=None), max_steps=TRIAL_STEPS)
    except (HeuristicFailedError, InfeasibleError):
        return False
    return True


def _alone_s(cost: CostModel) -> float:
    """The mean request alone on its fastest chain; infinite where some client has none."""
    shares = client_shares(cost.problem)
    paid = [cost.planned(c) for c in range(len(shares))]
    blocks = blocks_alone(cost, cost.problem.planning.session_tokens)
    least = np.where(shares > 0, least_chains_s(cost, paid, blocks), 0.0)
    return float(shares @ least) + cost.problem.session_setup_s


def in_words(cost: CostModel) -> str:
    """What a proof on these costs assumes, in front of it; empty where memory alone counts."""
    if not np.isfinite(cost.lasting_s):
        return ""
    return f"with compute slots of {cost.lasting_s:.4g} s, "
