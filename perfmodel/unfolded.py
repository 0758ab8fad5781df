"""Servers of which it is open how they host, each once for every way in which it may.

What nobody can do with all of these at once nobody can do with any choice among them: bounds on
every plan are made of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..core.constraints import Constraints
from ..core.content import IntArray
from .cost import CostModel


def unfolded(cost: CostModel) -> tuple[CostModel, IntArray]:
    """The costs of every server in each of its ways, and where each server's rows begin.

    Returns
    -------
    (costs, (n,) first row of each server; its rows follow one another). The same costs where
    nothing is open.
    """
    problem = cost.problem
    if not problem.chooses_hosting:
        return cost, np.arange(problem.num_servers, dtype=np.int64)
    counts = [len(s.hostings) for s in problem.servers]
    rows = np.repeat(np.arange(problem.num_servers), counts)
    servers = tuple(
        replace(s.hosting_as(h), id=f"{s.id} at {h.precision} by {h.wire}", variants=(), wires=())
        for s in problem.servers
        for h in s.hostings
    )
    asked = problem.planning.constraints
    opened = replace(
        problem,
        servers=servers,
        network=problem.network.of_servers(rows),
        # The others name servers by their rows, and bounds do not know them.
        planning=replace(
            problem.planning, constraints=Constraints(headroom_frac=asked.headroom_frac)
        ),
    )
    first = np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64)
    return CostModel(opened).lasting(cost.lasting_s), first
