"""Memory: blocks that fit, sessions that fit, the number R of sessions to reserve for.

All floors are taken on integers (bytes): in floating point ``(1.7 - 1) / 0.1`` is 6.999...,
one slot short.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np

from ..core.content import IntArray
from ..core.plan import Placement
from .cost import CostModel
from .runs import Runs


def blocks_that_fit(cost: CostModel, sessions: int, *, capped: bool = True) -> IntArray:
    """(n,) most blocks such that ``sessions`` sessions fit beside them, m_j of model.md (6.1).

    Wherever the blocks lie: where they differ, the heaviest run of so many has to fit.

    Parameters
    ----------
    sessions : concurrent sessions R that each reserve the planned cache on every block.
    capped : apply each server's own ``max_blocks`` (L otherwise).
    """
    problem = cost.problem
    tokens = sessions * problem.planning.session_tokens
    return blocks_within(cost, problem.memory_bytes, tokens, capped=capped)


def blocks_alone(cost: CostModel, tokens: int) -> IntArray:
    """(n,) most blocks that one session of ``tokens`` cache tokens can run at each server.

    An upper limit: where blocks differ, of the lightest run of so many.
    """
    return blocks_within(cost, cost.problem.memory_bytes, tokens, lightest=True)


def blocks_within(
    cost: CostModel,
    memory_bytes: IntArray,
    tokens: int,
    *,
    capped: bool = True,
    lightest: bool = False,
) -> IntArray:
    """(n,) most blocks that fit some memory, each with cache for ``tokens`` tokens."""
    limit = cost.problem.max_blocks if capped else np.int64(cost.num_blocks)
    need = _need(cost, memory_bytes, tokens)
    if need.each is not None:
        fit: IntArray = memory_bytes // need.each
    else:
        table = need.lightest() if lightest else need.heaviest()
        fit = (table[:, 1:] <= memory_bytes[:, None]).sum(axis=1)
    computed = blocks_of_cache(cost, cost.most_cache_bytes, max(tokens, 1))
    return np.clip(np.minimum(fit, computed), 0, limit)


def furthest_ends(cost: CostModel, sessions: int) -> IntArray:
    """(n, L) where the longest span ends that begins at each block of each server and fits.

    With room for so many sessions on all of its blocks and within the server's own cap; a server
    that cannot host a block ends where it begins.
    """
    problem, first = cost.problem, np.arange(cost.num_blocks)
    need = _need(cost, problem.memory_bytes, sessions * problem.planning.session_tokens)
    if need.each is not None:
        ends: IntArray = first + (problem.memory_bytes // need.each)[:, None]
    else:
        rows = zip(need.ramp(slice(None)), problem.memory_bytes, strict=True)
        ends = np.array([np.searchsorted(r, r[:-1] + m, side="right") - 1 for r, m in rows])
    capped: IntArray = np.minimum(ends, first + problem.max_blocks[:, None])
    return np.minimum(capped, cost.num_blocks)


def _need(cost: CostModel, memory_bytes: IntArray, tokens: int) -> Runs:
    """(n,) runs of weights and cache. More tokens than any memory holds are all alike; their bytes
    might not fit an integer."""
    most = int(memory_bytes.max()) // int(cost.token_bytes.cheapest_block()[0]) + 1
    return cost.weights_and_cache(min(tokens, max(most, 0)))


def slots_beside(cost: CostModel, tokens: int) -> IntArray:
    """(n, L + 1) caches of ``tokens`` tokens on one block that fit beside 0..L blocks.

    An upper limit: where blocks differ, beside the lightest run, on the block with least cache.
    Negative where not even the weights fit.
    """
    weights = cost.weights_bytes.lightest()
    each = tokens * int(cost.token_bytes.cheapest_block()[0])
    left = np.minimum(cost.problem.memory_bytes[:, None] - weights, cost.most_cache_bytes[:, None])
    slots: IntArray = left // each
    return slots


def blocks_of_cache(cost: CostModel, free_bytes: IntArray, tokens: int) -> IntArray:
    """(n,) blocks on which some free memory holds ``tokens`` tokens, wherever they lie."""
    held = cost.token_bytes.heaviest()[0]
    if cost.token_bytes.each is not None:
        return free_bytes // int(tokens * cost.token_bytes.each[0])
    return np.searchsorted(tokens * held, free_bytes, side="right") - 1


def whole_model_bytes(cost: CostModel) -> IntArray:
    """(n,) what all blocks and one planned session take at each server."""
    every = np.arange(cost.problem.num_servers)
    weights: IntArray = cost.weights_bytes(every, 0, cost.num_blocks)
    return weights + int(cost.session_bytes(0, cost.num_blocks))


def sessions_that_fit(cost: CostModel, placement: Placement) -> IntArray:
    """(n,) planned sessions that each server can hold on all of its blocks, f_j; 0 if idle."""
    start, end = placement.start, placement.end
    left = cost.room_bytes(start, end)
    demand = np.maximum(cost.session_bytes(start, end), 1)
    return np.where(end > start, np.maximum(left, 0) // demand, 0)


def sessions_on(cost: CostModel, server: int, start: int, end: int) -> int:
    """Planned sessions that a server can hold on all of the blocks ``[start, end)``."""
    left = int(cost.problem.memory_bytes[server]) - int(cost.weights_bytes(server, start, end))
    return max(0, left) // int(cost.session_bytes(start, end))


def least_memory_bytes(cost: CostModel, blocks: int, sessions: int) -> int:
    """What so many blocks take at least, with room for some planned sessions on each."""
    tokens = sessions * cost.problem.planning.session_tokens
    return blocks * int(cost.weights_and_cache(tokens).cheapest_block().min())


def memory_unit_bytes(cost: CostModel) -> float:
    """A unit in which the memory of a programme is near 1: the weights of the heaviest block."""
    return float(cost.weights_bytes.dearest_block().max())


def most_sessions_beside_a_block(cost: CostModel) -> int:
    """Planned sessions that fit beside one block on the roomiest server, 0 if not even it fits."""
    spare = cost.problem.memory_bytes - cost.weights_bytes.cheapest_block()
    each = cost.problem.planning.session_tokens * int(cost.token_bytes.cheapest_block()[0])
    return max(0, int(spare.max()) // each)


def max_sessions(cost: CostModel) -> int:
    """R_max of model.md section 5: for up to so many sessions all blocks fit, caps aside.

    A sufficient condition: ``sum of M_j / (s_m + R s_c) >= L + n`` leaves L whole blocks after
    every server has lost less than one to rounding. More sessions may still fit. Where blocks
    differ every one counts as the server's heaviest.
    """
    problem, length = cost.problem, cost.num_blocks
    parts = length + problem.num_servers
    weights = cost.weights_bytes.dearest_block()
    session = problem.planning.session_tokens * int(cost.token_bytes.cheapest_block()[0])
    spare = int(problem.memory_bytes.sum()) - int(weights.min()) * parts
    most = max(0, spare // (session * parts))
    if cost.alike and int(weights.max()) == int(weights.min()):
        return most

    def fits(sessions: int) -> bool:
        need = cost.weights_and_cache(sessions * problem.planning.session_tokens).dearest_block()
        return bool((problem.memory_bytes / need).sum() >= parts)

    # Several quantisations have no closed form; the smallest blocks alone give an upper limit.
    return bisect_left(range(1, most + 1), True, key=lambda sessions: not fits(sessions))


def sessions_for_load(rate_per_s: float, response_s: float, z: float, most: int) -> int:
    """R = round(lambda T + z sqrt(lambda T)), half away from zero, within [1, most]."""
    busy = rate_per_s * response_s
    wanted = math.floor(busy + z * math.sqrt(busy) + 0.5)
    return max(1, min(wanted, most))
