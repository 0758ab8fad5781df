"""Servers that are there for some clients alone, such as a client's own device, for any method.

The others are planned for all clients first. Then each of these servers takes the blocks with which
a request of its clients takes least: as many as it holds, wherever on the chain that is.
docs/model.md 19.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..core.errors import HeuristicFailedError, SwarmplanWarning
from ..core.objective import MEAN_RESPONSE, P95_RESPONSE
from ..core.plan import Placement
from ..core.problem import Problem
from ..perfmodel.cost import CostModel
from ..perfmodel.memory import windows_that_fit
from ..placement.sessions import unloaded_response_s
from ..placement.task import Task
from .certify import remeasured
from .draft import Draft, Settings


def with_devices(
    decide: Callable[[Task, Settings], Draft], task: Task, settings: Settings
) -> Draft:
    """A method's plan for all clients, with the servers of single ones; errors as the method's."""
    own = task.problem.own_devices
    with warnings.catch_warnings():  # that those are too small: they are planned below
        warnings.simplefilter("ignore", SwarmplanWarning)
        draft = decide(_without(task, own), settings)
    problem = draft.placement.settled(task.problem)
    cost, placement = CostModel.of(problem), draft.placement
    for j in sorted(own):
        placement = _placed(cost, task, placement, j)
    used = [problem.servers[j].id for j in sorted(own) if placement.num_blocks[j]]
    note = f"for their clients alone: {', '.join(used)}" if used else "devices of clients idle"
    proof = None
    if task.goal in (MEAN_RESPONSE, P95_RESPONSE):
        proof = remeasured(draft, placement, task)
    return draft.moved(placement, proof, note)


def _without(task: Task, rows: frozenset[int]) -> Task:
    """The task where these servers hold nothing."""
    servers = tuple(
        replace(s, memory_bytes=0) if j in rows else s for j, s in enumerate(task.problem.servers)
    )
    return task.on(replace(task.problem, servers=servers))


def _placed(cost: CostModel, task: Task, placement: Placement, server: int) -> Placement:
    """The placement with the blocks of one of these servers that serve its clients best."""
    clients = _clients_of(cost.problem, server)
    sessions = sum(d.sessions for d in task.demand if d.client in clients)
    windows = windows_that_fit(cost, max(1, sessions))[server]
    # Whoever else has a device of another client does not meet it.
    others = [j for j in cost.problem.own_devices if not clients & _clients_of(cost.problem, j)]
    start, end = placement.start.copy(), placement.end.copy()
    start[others] = end[others] = 0

    def seconds(first: int, last: int) -> float:
        start[server], end[server] = first, last
        spans = list(zip(start.tolist(), end.tolist(), strict=True))
        tried = cost.placed(spans)
        try:
            return sum(unloaded_response_s(cost, tried, c) for c in clients)
        except HeuristicFailedError:
            return np.inf

    options = [(0, 0), *zip(windows.start.tolist(), windows.end.tolist(), strict=True)]
    best = min(options, key=lambda span: (seconds(*span), span))
    own_start, own_end = placement.start.copy(), placement.end.copy()
    own_start[server], own_end[server] = best
    room = cost.room_bytes(own_start, own_end)
    pool = placement.cache_bytes.copy()
    pool[server] = max(0, int(room[server])) if best[1] > best[0] else 0
    return replace(placement, start=own_start, end=own_end, cache_bytes=pool)


def _clients_of(problem: Problem, server: int) -> frozenset[int]:
    only = problem.servers[server].only
    return frozenset(c for c, client in enumerate(problem.clients) if client.id in only)
