"""Caches in the memory of hosts, server by server of a plan: hypothetical for PETALS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.plan import Plan
from ..core.problem import Problem
from ..perfmodel.hops import mean_context_tokens
from ..perfmodel.hostcache import HostCache, host_cache_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Offloading:
    """A server with the planned sessions that pass it."""

    server: str
    sessions: int
    verdict: HostCache


def offloading(problem: Problem, plan: Plan, slower: float | None = None) -> tuple[Offloading, ...]:
    """The gate at every server that planned sessions pass, in the order of the scenario.

    Parameters
    ----------
    slower : how many times as long attention takes on hosts; as measured when left out.
    """
    settled = plan.settled(problem)
    context = mean_context_tokens(problem.planning.prompt_tokens, problem.planning.output_tokens)
    sessions = np.zeros(problem.num_servers, dtype=np.int64)
    for planned in plan.routes:
        for server in planned.route.servers:
            sessions[server] += planned.sessions
    return tuple(
        Offloading(
            server=settled.servers[j].id,
            sessions=int(sessions[j]),
            verdict=host_cache_at(
                settled.servers[j],
                int(plan.placement.start[j]),
                float(sessions[j]),
                context,
                slower,
            ),
        )
        for j in np.flatnonzero(sessions).tolist()
    )
