"""What rate all servers together can compute: an upper bound for every plan and router."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.requests import distinct
from ..core.workload import Mix
from .cost import CostModel
from .runs import Runs
from .unfolded import unfolded

#: Prompt and output tokens of requests, (N,) each.
Shapes = tuple[Sequence[int] | IntArray, Sequence[int] | IntArray]


def work_per_block_s(cost: CostModel, shapes: Shapes) -> FloatArray:
    """(N, n) compute that a request takes at least on one block, where blocks differ the lightest.

    0 where a server computes for several sessions at once. One that batches is charged the least
    that a step comes to in any batch.
    """
    sharing = np.array([s.sharing for s in cost.problem.servers])
    found = np.empty((len(shapes[0]), len(sharing)))
    known: dict[tuple[int, int], FloatArray] = {}
    for i, (prompt, output) in enumerate(zip(*shapes, strict=True)):
        if (prompt, output) not in known:
            alone = cost.work_s(prompt, output).cheapest_block()
            batched = cost.batched_work_s(prompt, output).cheapest_block()
            work = np.where(sharing == "batched", batched, alone)
            known[prompt, output] = np.where(sharing == "independent", 0.0, work)
        found[i] = known[prompt, output]
    return found


def most_per_s(cost: CostModel, shapes: Shapes) -> float:
    """Requests per second that no plan and no router can exceed, if they go on like these.

    Every request runs every one of L blocks once per pass, and a server that works on one task at
    a time computes for a second in a second. With w_rj the work of request r on a block at server
    j, w_j its mean over the requests and ``d`` the mean over them of ``min_j w_rj / w_j``, the
    servers together complete at most ``sum_j 1 / (d L w_j)`` requests per second; d is 1 where
    requests are alike, and less where one server is relatively better at some of them. A
    server that may choose its precision counts at the fastest. Infinite where a server computes for
    several sessions at once.
    """
    if not len(shapes[0]):
        return math.inf
    cost, first = unfolded(cost)
    rows, counts = distinct([np.asarray(column) for column in shapes])
    work = work_per_block_s(cost, (rows[:, 0].tolist(), rows[:, 1].tolist()))
    mean, each = relative(work, counts / counts.sum())
    with np.errstate(divide="ignore"):
        whole = float(np.maximum.reduceat(1.0 / mean, first).sum())
    least = float((counts / counts.sum()) @ each.min(axis=1))
    return whole / (cost.num_blocks * least)


def relative(work_s: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n,) mean work of requests with these shares, and (N, n) the work of each relative to it.

    1 where a server's work does not count.
    """
    mean = share @ work_s
    return mean, np.where(mean > 0, work_s / np.where(mean > 0, mean, 1.0), 1.0)


def mean_work_s(cost: CostModel, mix: Mix) -> Runs:
    """Runs of the compute of a mean request of a mix."""
    total = Runs(length=cost.num_blocks, each=np.zeros(cost.problem.num_servers))
    client = np.zeros_like(mix.client) if cost.drafts_alike else mix.client
    shapes, which = np.unique(
        np.column_stack([mix.prompt_tokens, mix.output_tokens, client]),
        axis=0,
        return_inverse=True,
    )
    share = np.bincount(which.reshape(-1), mix.share) / mix.share.sum()
    for shape, part in zip(shapes.tolist(), share.tolist(), strict=True):
        total = total.plus(cost.work_s(*shape), part)
    return total
