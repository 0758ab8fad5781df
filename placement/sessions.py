"""For how many concurrent sessions R a placement should leave memory (docs/model.md), and tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..chains.compose import client_shares
from ..chains.graph import build_graph, request_costs_s
from ..chains.knapsack import least_chains_s
from ..chains.shortest import shortest
from ..core.content import FloatArray
from ..core.errors import HeuristicFailedError
from ..core.plan import Placement
from ..core.problem import Problem
from ..core.workload import Demand
from ..perfmodel.cost import CostModel
from ..perfmodel.memory import max_sessions, sessions_for_load
from .rules.cg_bp import place_blocks, require_memory
from .task import Task


def task_of(problem: Problem, *, sessions: int | None = None, **asked: Any) -> Task:
    """A task for R sessions, split over the clients; ``asked`` are further fields of the task.

    Parameters
    ----------
    sessions : R; the planning figure, else derived from the load, when left out.

    Raises
    ------
    InfeasibleError, HeuristicFailedError
        As ``target_sessions``.
    """
    cost = CostModel.of(problem)
    total = target_sessions(cost) if sessions is None else sessions
    return Task(cost=cost, sessions=total, demand=demand_of(problem, total), **asked)


def for_sessions(task: Task, sessions: int) -> Task:
    """The same task for another R."""
    return replace(task, sessions=sessions, demand=demand_of(task.problem, sessions))


def target_sessions(cost: CostModel) -> int:
    """R: the planning figure if given, else derived from the load.

    ``R = min(round(lambda T1 + z sqrt(lambda T1)), R_max)``, at least 1, where T1 is the time of
    one request alone on the placement made for one session, without the servers' own block caps;
    where CG-BP finds none, on the cheapest chain that the swarm could have.

    Raises
    ------
    InfeasibleError
        If the memory of all servers together cannot host every block with one session each.
    """
    planning = cost.problem.planning
    if planning.sessions is not None:
        return planning.sessions
    require_memory(cost)
    shares = client_shares(cost.problem)
    try:
        alone = place_blocks(cost, 1, capped=False)
        busy = [0.0] * len(shares)
        asked = np.flatnonzero(shares).tolist()
        for c, seconds in zip(asked, unloaded_responses_s(cost, alone, asked), strict=True):
            busy[c] = seconds
    except HeuristicFailedError:
        each = [cost.planned(c) for c in range(len(shares))]
        least = least_chains_s(cost, each, planning.session_tokens)
        # A client whose session fits nowhere will hold none.
        busy = np.where(np.isfinite(least), least + cost.problem.session_setup_s, 0.0).tolist()
    mean_s = float(np.dot(shares, busy))
    rate = cost.problem.workload.rate_per_s
    return sessions_for_load(rate, mean_s, planning.safety_z, max_sessions(cost))


def unloaded_response_s(cost: CostModel, placement: Placement, client: int) -> float:
    """Seconds of the representative request alone on a placement, set-up included."""
    return unloaded_responses_s(cost, placement, (client,))[0]


def unloaded_responses_s(
    cost: CostModel, placement: Placement, clients: Sequence[int]
) -> list[float]:
    """The same for several clients."""
    graph, found = build_graph(cost, placement), []
    for client in clients:
        links, total = shortest(graph, *request_costs_s(cost, graph, cost.planned(client)))
        if not links:
            name = cost.problem.clients[client].id
            message = f"the placement for one session leaves client {name!r} no chain"
            raise HeuristicFailedError(message)
        found.append(total + cost.problem.session_setup_s)
    return found


def demand_of(problem: Problem, sessions: int) -> tuple[Demand, ...]:
    """R concurrent sessions, split over the clients in proportion to their request rates.

    Returns
    -------
    One ``Demand`` for each client that gets at least one session, in client order. Shares are
    rounded by largest remainder (ties: first client).

    Raises
    ------
    ValueError
        If R < 1.
    """
    if sessions < 1:
        raise ValueError(f"the number of sessions must be at least 1, got {sessions}")
    counts = _largest_remainder(client_shares(problem), sessions)
    tokens = problem.planning.session_tokens
    return tuple(
        Demand(client=c, sessions=r, weight_tokens=1.0, cache_tokens=tokens)
        for c, r in enumerate(counts)
        if r > 0
    )


def _largest_remainder(weights: FloatArray, total: int) -> Sequence[int]:
    """``total`` split into whole parts in proportion to ``weights``."""
    shares = weights * (total / weights.sum())
    counts = np.floor(shares + 1e-9).astype(int)
    order = np.argsort(-(shares - counts), kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return [int(c) for c in counts]
