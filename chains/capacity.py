"""The highest rate that any plan with any router could sustain: memory and compute together.

docs/model.md 11.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.problem import Problem
from ..core.workload import Mix, Request
from ..perfmodel.capacity import relative, work_per_block_s
from ..perfmodel.cost import CostModel
from ..perfmodel.memory import least_block_bytes, slots_beside
from ..perfmodel.unfolded import unfolded
from .compose import client_shares
from .knapsack import least_responses_s
from .shared import most_shared_per_s

#: What proves the bound.
PROOF = "what all servers together hold and compute"
#: Sums in another order differ by this much, relative: the bound gives way.
ROUNDING = 1e-9


def planned_mix(problem: Problem) -> Mix:
    """The representative request of every client, in its share."""
    share, plan = client_shares(problem), problem.planning
    rows = np.array([plan.prompt_tokens, plan.output_tokens, plan.session_tokens])
    clients = np.flatnonzero(share > 0)
    return Mix.of(np.column_stack([clients, np.tile(rows, (len(clients), 1))]), share[clients])


def most_per_s(cost: CostModel, mix: Mix) -> float:
    """Requests per second that no plan and no router can exceed in the long run; 0 if none runs.

    With y_rj the rate at which server j runs single blocks for requests like r, at a rate of
    lambda in all: every request runs every block once, ``sum_j y_rj = lambda p_r L``, at most the m
    blocks that j hosts; computing them takes ``sum_r y_rj w_rj <= 1``, and by Little's law their
    caches fill ``sum_r y_rj c_r <= M_j - s_m m`` on average, where c_r is the cache of r on a block
    times the least time for which r can hold it. In units of the mean request both are capped by
    what the server can do at its best m, and all servers together have to reach lambda L. A server
    that may choose its precision counts at the one at which it gives most; the fastest chains may
    use each server at all of them. What uplinks let through is a bound of its own.
    """
    cost, first = unfolded(cost.unadapted)
    least_s = least_responses_s(cost, _requests(mix))
    served = np.isfinite(least_s)  # the others are refused, whatever the plan
    share = np.where(served, mix.share, 0.0)
    if not share.sum() > 0:
        return 0.0
    work, each = relative(work_per_block_s(cost, _shapes(mix)), share / share.sum())
    # Slot-seconds, one slot being the cache of one token on a block, or a byte where windows and
    # states make no such unit.
    slot_bytes = least_block_bytes(cost, 1) if cost.kept.proportional else 1
    # Where cache is taken by pages, that of the prompt is all that is sure to be held throughout.
    tokens = mix.prompt_tokens if cost.problem.page_tokens else mix.reserved_tokens
    slots = [least_block_bytes(cost, t) // slot_bytes for t in tokens.tolist()]
    held = np.where(served, np.array(slots) * np.where(served, least_s, 1.0), np.nan)
    mean_held = float(np.nansum(share * held) / share.sum())
    held = held / mean_held
    dearest = np.nanmax(each / held[:, None], axis=0)
    room = np.maximum(slots_beside(cost, slot_bytes), 0) / mean_held
    room[np.arange(room.shape[1]) > cost.problem.max_blocks[:, None]] = 0.0
    with np.errstate(divide="ignore"):
        compute = np.where(work > 0, 1.0 / np.where(work > 0, work, 1.0), np.inf)
    total = float(share.sum())
    least = float(each.min(axis=1) @ share) / total
    capped = np.minimum(compute[:, None], dearest[:, None] * room)
    by_work = _highest(capped, first, cost.num_blocks * least)
    by_memory = _highest(room, first, cost.num_blocks)
    by_uplinks = most_shared_per_s(cost, mix, share / mix.share.sum())
    return min(min(by_work, by_memory) / total, by_uplinks) * (1.0 + ROUNDING)


def most_planned_per_s(cost: CostModel) -> float:
    """The same for the representative request."""
    found = _known.get(cost)
    if found is None:
        found = _known[cost] = most_per_s(cost, planned_mix(cost.problem))
    return found


#: Asked for again and again while a plan is made; on large swarms it takes seconds.
_known: WeakKeyDictionary[CostModel, float] = WeakKeyDictionary()


def _highest(most: FloatArray, first: IntArray, blocks: float) -> float:
    """The highest rate x with ``sum_j max_m min(most[j, m], m x) >= blocks x``, by bisection.

    Where a server has several rows, from ``first`` on, the best of them counts.
    """
    hosted: IntArray = np.arange(most.shape[1])

    def reached(rate: float) -> bool:
        each = np.minimum(most, hosted * rate).max(axis=1)
        return bool(np.maximum.reduceat(each, first).sum() >= blocks * rate)

    high = float(most[:, 1:].max(axis=1, initial=0.0).sum()) / blocks
    low = 0.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if reached(middle) else (low, middle)
    return high


def _shapes(mix: Mix) -> tuple[list[int], list[int]]:
    return mix.prompt_tokens.tolist(), mix.output_tokens.tolist()


def _requests(mix: Mix) -> list[Request]:
    columns = zip(
        mix.client.tolist(),
        mix.prompt_tokens.tolist(),
        mix.output_tokens.tolist(),
        mix.reserved_tokens.tolist(),
        strict=True,
    )
    return [
        Request(
            id=i,
            client=client,
            arrival_s=0.0,
            prompt_tokens=prompt,
            output_tokens=output,
            reserved_tokens=reserved,
        )
        for i, (client, prompt, output, reserved) in enumerate(columns)
    ]
