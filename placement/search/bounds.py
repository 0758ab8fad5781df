"""Lower bounds on the total step time that hold for every plan (docs/exact.md, LB0).

All sessions together cannot cost less than the sum of what each would with the swarm for itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.errors import InfeasibleError
from ...core.problem import FloatArray, IntArray, Problem
from ..alone import (
    ROUNDING,
    blocks_alone,
    cheapest_legs_s,
    least_by_client_relay_s,
    least_by_server_relay_s,
)
from ..demand import Demand, step_costs


def cheapest_chains_s(problem: Problem, demand: Sequence[Demand]) -> FloatArray:
    """(len(demand),) a lower bound on one session's step time, seconds; inf = no chain exists.

    Attained under client relay by a chain that has the servers for itself; valid, but weaker,
    under server relay.
    """
    found = np.empty(len(demand))
    for cache in {d.cache_bytes for d in demand}:
        rows = [i for i, d in enumerate(demand) if d.cache_bytes == cache]
        clients = [demand[i].client for i in rows]
        found[rows] = _least_steps_s(problem, clients, blocks_alone(problem, cache))
    return found * (1.0 - ROUNDING)


def _least_steps_s(problem: Problem, clients: Sequence[int], blocks: IntArray) -> FloatArray:
    """(len(clients),) a decode step of a session that is alone, with these ``blocks`` at most."""
    costs, length = step_costs(problem), problem.model.num_blocks
    hop = costs.hop_s[clients]
    compute = np.broadcast_to(costs.block_s, hop.shape)
    if problem.network.relay == "client":
        return least_by_client_relay_s(length, blocks, hop, compute)
    rtt = problem.network.client_rtt_s[clients]
    legs = np.broadcast_to(cheapest_legs_s(problem), hop.shape)
    return least_by_server_relay_s(length, blocks, hop - rtt, compute, rtt / 2, legs)


def summed_s(demand: Sequence[Demand], each_s: FloatArray) -> float:
    """Objective of a plan in which one session of each entry takes ``each_s`` per step, seconds."""
    each = zip(demand, each_s.tolist(), strict=True)
    return float(sum(d.sessions * d.weight_tokens * t for d, t in each))


def lower_bound_s(problem: Problem, demand: Sequence[Demand]) -> float:
    """LB0: no plan for this demand has a smaller objective; inf = no plan exists."""
    return summed_s(demand, cheapest_chains_s(problem, demand))


def require_chains(problem: Problem, demand: Sequence[Demand], alone_s: FloatArray) -> None:
    """Refuse a demand of which some client's session, alone in the swarm, has no chain.

    Raises
    ------
    InfeasibleError
        Naming the client; ``alone_s`` is what ``cheapest_chains_s`` gives.
    """
    for d, bound in zip(demand, alone_s, strict=True):
        if not np.isfinite(bound):
            raise InfeasibleError(
                f"not one session of client {problem.clients[d.client].id!r} fits: all servers "
                f"together can run fewer than the {problem.model.num_blocks} blocks of "
                f"{problem.model.name} beside its cache; add servers, use a smaller quantisation "
                "or shorter sessions"
            )
