"""Lower bounds on the total step time that hold for every plan (docs/exact.md, LB0).

All sessions together cannot cost less than the sum of what each would with the swarm for itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.content import FloatArray
from ..core.errors import InfeasibleError
from ..core.workload import Demand
from ..perfmodel.cost import CostModel
from .knapsack import ROUNDING, least_chains_s

#: How certificates name this bound.
PROOF = "knapsack over servers"


def cheapest_chains_s(cost: CostModel, demand: Sequence[Demand]) -> FloatArray:
    """(len(demand),) a lower bound on one session's step time, seconds; inf = no chain exists.

    Attained under client relay by a chain that has the servers for itself; valid, but weaker,
    under server relay and where blocks differ.
    """
    cost, found = cost.unadapted, np.empty(len(demand))
    for tokens in {d.cache_tokens for d in demand}:
        rows = [i for i, d in enumerate(demand) if d.cache_tokens == tokens]
        paid = [cost.planned(demand[i].client) for i in rows]
        found[rows] = least_chains_s(cost, paid, tokens, step=True)
    return found * (1.0 - ROUNDING)


def summed_s(demand: Sequence[Demand], each_s: FloatArray) -> float:
    """Objective of a plan in which one session of each entry takes ``each_s`` per step, seconds."""
    each = zip(demand, each_s.tolist(), strict=True)
    return float(sum(d.sessions * d.weight_tokens * t for d, t in each))


def lower_bound_s(cost: CostModel, demand: Sequence[Demand]) -> float:
    """LB0: no plan for this demand has a smaller objective; inf = no plan exists."""
    return summed_s(demand, cheapest_chains_s(cost, demand))


def require_chains(cost: CostModel, demand: Sequence[Demand], alone_s: FloatArray) -> None:
    """Refuse a demand of which some client's session, alone in the swarm, has no chain.

    Raises
    ------
    InfeasibleError
        Naming the client; ``alone_s`` is what ``cheapest_chains_s`` gives.
    """
    model, clients = cost.problem.model, cost.problem.clients
    for d, bound in zip(demand, alone_s, strict=True):
        if not np.isfinite(bound):
            raise InfeasibleError(
                f"not one session of client {clients[d.client].id!r} fits: all servers together "
                f"can run fewer than the {model.num_blocks} blocks of {model.name} beside its "
                "cache; add servers, use a smaller quantisation or shorter sessions"
            )
