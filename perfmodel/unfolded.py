"""Servers whose precision is still open, each once for every precision that it may host at.

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
    """The costs of every server at each of its precisions, and where each server's rows begin.

    Returns
    -------
    (costs, (n,) first row of each server; its rows follow one another). The same costs where
    nothing is open.
    """
    problem = cost.problem
    if not problem.chooses_precision:
        return cost, np.arange(problem.num_servers, dtype=np.int64)
    counts = [len(s.precisions) for s in problem.servers]
    rows = np.repeat(np.arange(problem.num_servers), counts)
    servers = tuple(
        replace(s.at_precision(p), id=f"{s.id} at {p}", variants=())
        for s in problem.servers
        for p in s.precisions
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
