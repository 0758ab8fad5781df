"""Memory: blocks that fit, sessions that fit, the number R of sessions to reserve for.

All floors are taken on integers (bytes): in floating point ``(1.7 - 1) / 0.1`` is 6.999...,
one slot short.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.content import IntArray
from ..core.plan import Placement
from .cost import NO_LIMIT, CostModel
from .kept import Held


def blocks_that_fit(cost: CostModel, sessions: int, *, capped: bool = True) -> IntArray:
    """(n,) most blocks such that ``sessions`` sessions fit beside them, m_j of model.md (6.1).

    Wherever the blocks lie: where they differ, the heaviest run of so many has to fit.

    Parameters
    ----------
    sessions : concurrent sessions R that each reserve the planned cache on every block.
    capped : apply each server's own ``max_blocks`` (L otherwise).
    """
    held = planned(cost, sessions)
    return blocks_within(cost, cost.problem.memory_bytes, held, capped=capped)


def planned(cost: CostModel, sessions: int) -> Held:
    """So many planned sessions."""
    return ((sessions, cost.problem.planning.session_tokens),)


def blocks_alone(cost: CostModel, tokens: int, sessions: int = 1) -> IntArray:
    """(n,) most blocks that one session (or more) of so many cache tokens can run at each server.

    An upper limit: where blocks differ, of the lightest run of so many.
    """
    held = ((sessions, tokens),)
    return blocks_within(cost, cost.problem.memory_bytes, held, lightest=True)


def blocks_within(
    cost: CostModel,
    memory_bytes: IntArray,
    held: Held,
    *,
    capped: bool = True,
    lightest: bool = False,
) -> IntArray:
    """(n,) most blocks that fit some memory, each with cache for some sessions."""
    limit = cost.problem.max_blocks if capped else np.int64(cost.num_blocks)
    need = cost.weights_and_cache(held, int(memory_bytes.max()))
    if need.each is not None:
        fit: IntArray = memory_bytes // need.each
    else:
        table = need.lightest() if lightest else need.heaviest()
        fit = (table[:, 1:] <= memory_bytes[:, None]).sum(axis=1)
    computed = blocks_of_cache(cost, cost.most_cache_bytes, held)
    return np.clip(np.minimum(fit, computed), 0, limit)


def furthest_ends(cost: CostModel, sessions: int, *, capped: bool = True) -> IntArray:
    """(n, L) where the longest span ends that begins at each block of each server and fits.

    With room for so many sessions on all of its blocks and within the server's own cap (and what it
    can compute); a server that cannot host a block ends where it begins.
    """
    problem, first = cost.problem, np.arange(cost.num_blocks)
    need = cost.weights_and_cache(planned(cost, sessions), int(problem.memory_bytes.max()))
    if need.each is not None:
        ends: IntArray = first + (problem.memory_bytes // need.each)[:, None]
    else:
        rows = zip(need.ramp(slice(None)), problem.memory_bytes, strict=True)
        ends = np.array([np.searchsorted(r, r[:-1] + m, side="right") - 1 for r, m in rows])
    most = blocks_of_cache(cost, cost.most_cache_bytes, planned(cost, sessions))
    if capped:
        most = np.minimum(most, problem.max_blocks)
    limited: IntArray = np.minimum(np.minimum(ends, first + most[:, None]), cost.num_blocks)
    return limited


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Where a server may host: windows of blocks that fit and cannot grow at either end.

    Attributes
    ----------
    start, end : (w,) blocks [start, end) of each, by increasing start.
    """

    start: IntArray
    end: IntArray

    def __len__(self) -> int:
        return len(self.start)


def windows_that_fit(cost: CostModel, sessions: int, *, capped: bool = True) -> list[Windows]:
    """The windows of every server with room for so many planned sessions on all of their blocks.

    Where blocks are alike all windows of a server are as long: m_j of model.md section 6.
    """
    found, known = [], dict[bytes, Windows]()
    for ends in furthest_ends(cost, sessions, capped=capped):
        key = ends.tobytes()  # those of many servers are the same
        if key not in known:
            start = np.flatnonzero((ends > np.arange(len(ends))) & (np.diff(ends, prepend=0) > 0))
            known[key] = Windows(start=start, end=ends[start])
        found.append(known[key])
    return found


def slots_beside(cost: CostModel, slot_bytes: int) -> IntArray:
    """(n, L + 1) slots of cache of so many bytes that fit beside 0..L blocks.

    An upper limit: where blocks differ, beside the lightest run. Negative where not even the
    weights fit.
    """
    weights = cost.weights_bytes.lightest()
    left = np.minimum(cost.problem.memory_bytes[:, None] - weights, cost.most_cache_bytes[:, None])
    slots: IntArray = left // slot_bytes
    return slots


def heavy_blocks(cost: CostModel) -> NDArray[np.bool_] | None:
    """(L,) blocks that weigh at least half of the heaviest one at every server; None where all do.

    Where some blocks weigh next to nothing, bounds are made of the others: a chain runs all of
    them, and the rest adds no less than its fastest times.
    """
    each = np.diff(cost.weights_bytes.ramp(slice(None)), axis=-1)
    heavy: NDArray[np.bool_] = (2 * each >= each.max(axis=-1, keepdims=True)).all(axis=0)
    return None if heavy.all() or not heavy.any() else heavy


def heavy_blocks_within(
    cost: CostModel, heavy: NDArray[np.bool_], memory_bytes: IntArray, held: Held
) -> IntArray:
    """(n,) most of the heavy blocks that fit some memory, each with cache for some sessions."""
    need = cost.weights_and_cache(held, int(memory_bytes.max())).within(heavy).cheapest_block()
    fit = np.minimum(memory_bytes // need, blocks_of_cache(cost, cost.most_cache_bytes, held))
    most: IntArray = np.clip(fit, 0, np.minimum(cost.problem.max_blocks, heavy.sum()))
    return most


def heavy_slots_beside(cost: CostModel, heavy: NDArray[np.bool_], slot_bytes: int) -> IntArray:
    """(n, heavy + 1) slots of cache that fit beside so many heavy blocks; see ``slots_beside``."""
    weights = cost.weights_bytes.within(heavy).ramp(slice(None))
    left = np.minimum(cost.problem.memory_bytes[:, None] - weights, cost.most_cache_bytes[:, None])
    slots: IntArray = left // slot_bytes
    return slots


def least_block_bytes(cost: CostModel, tokens: int) -> int:
    """Cache of a session of so many tokens on the block that keeps least of it."""
    return int(cost.kept.of(tokens).cheapest_block()[0])


def blocks_of_cache(cost: CostModel, free_bytes: IntArray, held: Held) -> IntArray:
    """(n,) blocks on which some free memory holds some sessions, wherever the blocks lie."""
    most = int(free_bytes.max())
    if (free_bytes == NO_LIMIT).all() or not any(count and tokens for count, tokens in held):
        return np.full(len(free_bytes), cost.num_blocks)
    each = cost.kept.together(held, most)
    if each.each is not None:
        return free_bytes // int(each.each[0])
    return np.searchsorted(each.heaviest()[0], free_bytes, side="right") - 1


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
    need = cost.weights_and_cache(planned(cost, sessions))
    return blocks * int(need.cheapest_block().min())


def memory_unit_bytes(cost: CostModel) -> float:
    """A unit in which the memory of a programme is near 1: the weights of the heaviest block."""
    return float(cost.weights_bytes.dearest_block().max())


def most_sessions_beside_a_block(cost: CostModel) -> int:
    """Planned sessions that fit beside one block on the roomiest server, 0 if not even it fits."""
    spare = cost.problem.memory_bytes - cost.weights_bytes.cheapest_block()
    each = least_block_bytes(cost, cost.problem.planning.session_tokens)
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
    session = least_block_bytes(cost, problem.planning.session_tokens)
    spare = int(problem.memory_bytes.sum()) - int(weights.min()) * parts
    most = max(0, spare // (session * parts))
    if cost.alike and int(weights.max()) == int(weights.min()):
        return most

    def fits(sessions: int) -> bool:
        held, largest = planned(cost, sessions), int(problem.memory_bytes.max())
        need = cost.weights_and_cache(held, largest).dearest_block()
        return bool((problem.memory_bytes / need).sum() >= parts)

    # Several quantisations have no closed form; the smallest blocks alone give an upper limit.
    return bisect_left(range(1, most + 1), True, key=lambda sessions: not fits(sessions))


def sessions_for_load(rate_per_s: float, response_s: float, z: float, most: int) -> int:
    """R = round(lambda T + z sqrt(lambda T)), half away from zero, within [1, most]."""
    busy = rate_per_s * response_s
    wanted = math.floor(busy + z * math.sqrt(busy) + 0.5)
    return max(1, min(wanted, most))
