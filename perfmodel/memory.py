"""Memory: blocks that fit, cache slots, the number R of sessions to reserve for.

All floors are taken on integers (bytes): in floating point ``(1.7 - 1) / 0.1`` is 6.999...,
one slot short.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np

from ..core.plan import Placement
from ..core.problem import IntArray, Problem


def blocks_that_fit(problem: Problem, sessions: int, *, capped: bool = True) -> IntArray:
    """(n,) most blocks such that ``sessions`` sessions fit beside them, m_j of model.md (6.1).

    Parameters
    ----------
    sessions : concurrent sessions R that each reserve ``problem.session_bytes`` per block.
    capped : apply each server's own ``max_blocks`` (L otherwise).
    """
    per_block = problem.block_bytes + sessions * problem.session_bytes
    limit = problem.max_blocks if capped else problem.model.num_blocks
    fit: IntArray = np.minimum(problem.memory_bytes // per_block, limit)
    return np.maximum(fit, 0)


def sessions_that_fit(problem: Problem, blocks: IntArray) -> IntArray:
    """(n,) sessions that a server can hold on all of its blocks, f_j; 0 for idle servers."""
    left = problem.memory_bytes - problem.block_bytes * blocks
    demand = np.maximum(problem.session_bytes * blocks, 1)
    return np.where(blocks > 0, np.maximum(left, 0) // demand, 0)


def max_sessions(problem: Problem) -> int:
    """R_max of model.md section 5: for up to so many sessions all blocks fit, caps aside.

    A sufficient condition: ``sum of M_j / (s_m + R s_c) >= L + n`` leaves L whole blocks after
    every server has lost less than one to rounding. More sessions may still fit.
    """
    n, length = problem.num_servers, problem.model.num_blocks
    weights = int(problem.block_bytes.min()) * (length + n)
    spare = int(problem.memory_bytes.sum()) - weights
    most = max(0, spare // (problem.session_bytes * (length + n)))
    if int(problem.block_bytes.max()) == int(problem.block_bytes.min()):
        return most

    def fits(sessions: int) -> bool:
        per_block = problem.block_bytes + sessions * problem.session_bytes
        return bool((problem.memory_bytes / per_block).sum() >= length + n)

    # Several quantisations have no closed form; the smallest blocks alone give an upper limit.
    return bisect_left(range(1, most + 1), True, key=lambda sessions: not fits(sessions))


def sessions_for_load(rate_per_s: float, response_s: float, z: float, most: int) -> int:
    """R = round(lambda T + z sqrt(lambda T)), half away from zero, within [1, most]."""
    busy = rate_per_s * response_s
    wanted = math.floor(busy + z * math.sqrt(busy) + 0.5)
    return max(1, min(wanted, most))


def memory_excess_bytes(problem: Problem, placement: Placement) -> IntArray:
    """(n,) bytes by which weights plus cache pool exceed the memory (<= 0 when it fits)."""
    used = problem.block_bytes * placement.num_blocks + placement.cache_bytes
    return used - problem.memory_bytes
