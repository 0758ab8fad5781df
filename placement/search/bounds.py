"""Lower bounds on the total step time that hold for every plan (docs/exact.md, LB0).

The cost of a chain under client relay depends on which server runs how many blocks, not on the
order. So the cheapest chain of a client is a knapsack over servers, each taken at most once with
as many blocks as it could run for one session alone; all sessions together cannot cost less than
the sum of these. Under server relay a chain is at least as dear as with the cheapest leg into
each of its servers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.errors import InfeasibleError
from ...core.problem import FloatArray, IntArray, Problem
from ..demand import Demand, step_costs

#: Sums in another order differ by rounding; the bound gives way by this much, relative.
ROUNDING = 1e-12


def blocks_alone(problem: Problem, cache_bytes: int) -> IntArray:
    """(n,) most blocks that one session with ``cache_bytes`` per block can run at each server."""
    fit = problem.memory_bytes // (problem.block_bytes + cache_bytes)
    blocks: IntArray = np.clip(fit, 0, problem.max_blocks)
    return blocks


def cheapest_chains_s(problem: Problem, demand: Sequence[Demand]) -> FloatArray:
    """(len(demand),) a lower bound on one session's step time, seconds; inf = no chain exists.

    Attained under client relay by a chain that has the servers for itself; valid, but weaker,
    under server relay.
    """
    found = np.empty(len(demand))
    for cache in {d.cache_bytes for d in demand}:
        rows = [i for i, d in enumerate(demand) if d.cache_bytes == cache]
        clients = [demand[i].client for i in rows]
        blocks = blocks_alone(problem, cache)
        if problem.network.relay == "client":
            found[rows] = _client_relay(problem, clients, blocks)
        else:
            found[rows] = _server_relay(problem, clients, blocks)
    return found * (1.0 - ROUNDING)


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


def window_min(values: FloatArray, width: int) -> FloatArray:
    """``out[..., q] = min values[..., q - width : q]``, infinite where that is empty."""
    best = values
    size = 1
    while size < width:
        step = min(size, width - size)
        shorter = best
        best = shorter.copy()
        np.minimum(shorter[..., step:], shorter[..., :-step], out=best[..., step:])
        size += step
    out = np.full_like(values, np.inf)
    out[..., 1:] = best[..., :-1]
    return out


def _client_relay(problem: Problem, clients: Sequence[int], blocks: IntArray) -> FloatArray:
    """Knapsack: ``F(q) = min(F(q), min_k F(q - k) + t_cj + tau_j k)``, server after server."""
    costs = step_costs(problem)
    hop, compute = costs.hop_s[list(clients)], costs.block_s
    position = np.arange(problem.model.num_blocks + 1)
    reach = np.full((len(clients), len(position)), np.inf)
    reach[:, 0] = 0.0
    for j in np.flatnonzero(blocks > 0):
        ramp = compute[j] * position
        taken = window_min(reach - ramp, int(blocks[j])) + (ramp + hop[:, j, None])
        np.minimum(reach, taken, out=reach)
    return reach[:, -1]


def _server_relay(problem: Problem, clients: Sequence[int], blocks: IntArray) -> FloatArray:
    """The knapsack with one server marked as first and one as last of the chain.

    ``reach[c, f, l]``: whether the first (f) and the last (l) server have been chosen. The first
    is entered from the client, every other one by its cheapest leg from any server; the last
    pays the way back.
    """
    costs = step_costs(problem)
    rtt = problem.network.client_rtt_s[list(clients)]
    overhead = costs.hop_s[list(clients)] - rtt
    between = problem.network.server_rtt_s + np.diag(np.full(problem.num_servers, np.inf))
    leg = between.min(axis=0, initial=np.inf) / 2
    position = np.arange(problem.model.num_blocks + 1)
    reach = np.full((len(clients), 2, 2, len(position)), np.inf)
    reach[:, 0, 0, 0] = 0.0
    for j in np.flatnonzero(blocks > 0):
        ramp = costs.block_s[j] * position
        taken = window_min(reach - ramp, int(blocks[j])) + ramp + overhead[:, j, None, None, None]
        half = rtt[:, j, None] / 2
        following = taken + leg[j]
        after = np.minimum(reach, following)
        for last in range(2):
            first = taken[:, 0, last] + half
            np.minimum(after[:, 1, last], first, out=after[:, 1, last])
        for flag in range(2):
            final = following[:, flag, 0] + half
            np.minimum(after[:, flag, 1], final, out=after[:, flag, 1])
        alone = taken[:, 0, 0] + 2 * half
        np.minimum(after[:, 1, 1], alone, out=after[:, 1, 1])
        reach = after
    return reach[:, 1, 1, -1]
