"""Servers that a placement leaves idle join it as PETALS' own would."""

from __future__ import annotations

import numpy as np

from ...core.plan import Placement
from ...perfmodel.announced import announced_throughput
from ...perfmodel.cost import CostModel
from ...perfmodel.memory import blocks_that_fit
from .petals import join, load_of


def all_joined(cost: CostModel, placement: Placement, sessions: int) -> Placement:
    """A placement in which every server hosts what fits beside so many sessions.

    Those with a span keep its end and what they host, and may host more before it; the others,
    fastest first, take the blocks that are served worst by then, which is PETALS' rule P4.
    """
    length = cost.num_blocks
    fit = np.minimum(blocks_that_fit(cost, sessions), length)
    used = placement.num_blocks > 0
    blocks = np.where(used, np.maximum(np.minimum(fit, placement.end), placement.num_blocks), fit)
    rates = announced_throughput(cost, np.maximum(blocks, 1))
    start = placement.end - blocks
    load = load_of(start, blocks, rates, np.flatnonzero(used).tolist(), length)
    idle = np.flatnonzero(~used & (fit > 0)).tolist()
    join(load, start, blocks, rates, sorted(idle, key=lambda j: -float(rates[j])))
    spans = [(int(s), int(s + m)) if m else (0, 0) for s, m in zip(start, blocks, strict=True)]
    return cost.placed(spans)
