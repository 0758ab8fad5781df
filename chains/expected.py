"""What serving the planned load is expected to take in energy and money."""

from __future__ import annotations

import numpy as np

from ..core.plan import Placement
from ..perfmodel.cost import CostModel
from ..perfmodel.expense import UNKNOWN, expense
from .compose import bearable_per_s, gca, total_service_rate


def expected_per_million(
    cost: CostModel, placement: Placement
) -> tuple[float | None, float | None]:
    """Kilowatt hours and money of a million output tokens; None where not known.

    Requests are the representative one. They come at the rate of the workload, or at what the
    chains composed on the placement bear where that is less, and use these chains in proportion to
    what each bears: whatever the router is.
    """
    problem, plan = cost.problem, cost.problem.planning
    on = (placement.num_blocks > 0).astype(np.float64)
    if expense(problem, on, np.zeros(len(on))) == UNKNOWN:
        return None, None  # composing chains takes a while
    chains = gca(cost, placement)
    rate_per_s = min(problem.workload.rate_per_s, bearable_per_s(cost, chains))
    busy, shape, all_per_s = np.zeros(len(on)), cost.planned(0), total_service_rate(chains)
    for chain in chains:
        one_per_s = rate_per_s * chain.capacity / chain.service_time_s / all_per_s
        runs = np.array([(h.server, h.start, h.end) for h in chain.route.hops]).T
        work_s = cost.request_work_s(shape, plan.prompt_tokens, *runs)
        np.add.at(busy, runs[0], one_per_s * work_s)
    return expense(problem, on, busy).per_million(rate_per_s * plan.output_tokens)
