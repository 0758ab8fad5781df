"""What rate all servers together can compute: an upper bound for every plan and router."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.content import FloatArray
from .cost import CostModel

#: What proves a bound on the rate.
PROOF = "what all servers together compute"
#: Prompt and output tokens of requests, (N,) each.
Shapes = tuple[Sequence[int], Sequence[int]]


def work_per_block_s(cost: CostModel, shapes: Shapes) -> FloatArray:
    """(n,) compute time of a mean request on one block, where blocks differ on the lightest."""
    distinct, counts = np.unique(np.array(shapes, np.int64), axis=1, return_counts=True)
    total = np.zeros(cost.problem.num_servers)
    for prompt, output, count in zip(*distinct.tolist(), counts.tolist(), strict=True):
        total += count * cost.work_s(prompt, output).cheapest_block()
    return total / max(1, int(counts.sum()))


def most_per_s(cost: CostModel, shapes: Shapes) -> float:
    """Requests per second that no plan and no router can exceed, if they go on like these.

    Every request runs every block once per pass, and a server that works on one task at a time
    computes for a second in a second: with w_j the work of a mean request on one of L blocks, the
    servers together complete at most ``sum_j 1 / (L w_j)`` requests per second. Infinite where a
    server computes for several sessions at once.
    """
    if not cost.serial.all() or not len(shapes[0]):
        return math.inf
    work = work_per_block_s(cost, shapes)
    with np.errstate(divide="ignore"):
        return float((1.0 / work).sum()) / cost.num_blocks


def most_planned_per_s(cost: CostModel) -> float:
    """The same for the representative request."""
    planning = cost.problem.planning
    return most_per_s(cost, ([planning.prompt_tokens], [planning.output_tokens]))
