"""Sessions that have the swarm for themselves: times that no plan can beat.

The cost of a chain under client relay depends on which server runs how many blocks, not on the
order. So the cheapest chain of a client is a knapsack over servers, each taken at most once with
as many blocks as it could run for one session alone. Under server relay a chain is at least as
dear as with the cheapest leg into each of its servers. docs/exact.md, LB0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.problem import FloatArray, IntArray, Problem
from ..core.workload import Request
from ..perfmodel.latency import block_times, hop_cost

#: Sums in another order differ by rounding; the bound gives way by this much, relative.
ROUNDING = 1e-12
#: Cells (shapes x servers x blocks) up to which every shape of a request is priced by itself.
MOST_CELLS = 4_000_000
FEWEST_SHAPES = 64


def blocks_alone(problem: Problem, cache_bytes: int) -> IntArray:
    """(n,) most blocks that one session with ``cache_bytes`` per block can run at each server."""
    fit = problem.memory_bytes // (problem.block_bytes + cache_bytes)
    blocks: IntArray = np.clip(fit, 0, problem.max_blocks)
    return blocks


def least_responses_s(problem: Problem, requests: Sequence[Request]) -> FloatArray:
    """(len(requests),) a lower bound on the response of each, under any plan and router.

    Every request takes the fastest chain that its reservation allows and never waits; other
    sessions, losses and overflows can only add to that. Infinite where no chain can exist. Where
    there are too many shapes of requests, token counts are rounded down, which is valid because
    no cost falls as they grow.
    """
    room = problem.num_servers * problem.model.num_blocks
    shapes, which = _shapes(requests, max(FEWEST_SHAPES, MOST_CELLS // max(room, 1)))
    least = np.empty(len(shapes))
    for reserved in np.unique(shapes[:, 3]).tolist():
        rows = np.flatnonzero(shapes[:, 3] == reserved)
        blocks = blocks_alone(problem, problem.cache_bytes(reserved))
        least[rows] = _least_requests_s(problem, shapes[rows, :3], blocks)
    opening_s = problem.session_setup_s + problem.alloc_delay_s
    found: FloatArray = least[which] * (1.0 - ROUNDING) + opening_s
    return found


def _shapes(requests: Sequence[Request], most: int) -> tuple[IntArray, IntArray]:
    """Distinct (client, prompt, output, reserved), at most so many, and the one of each request.

    Token counts are rounded down to powers of 1 + 1/64, then of 1 + 1/32 and so on until few
    enough are left, or all are 1.
    """
    columns = ("client", "prompt_tokens", "output_tokens", "reserved_tokens")
    given = np.array([[getattr(r, c) for c in columns] for r in requests], dtype=np.int64)
    coarse = given = given.reshape(-1, len(columns))
    finest = 64.0
    while True:
        shapes, which = np.unique(coarse, axis=0, return_inverse=True)
        if len(shapes) <= most or (coarse[:, 1:] == 1).all():
            return shapes, which.reshape(-1)
        power = np.log1p(1.0 / finest)
        # Where the logarithm is rounded, the power may come out one too low: the safe side.
        down = np.floor(np.exp(power * np.floor(np.log(given[:, 1:]) / power)) + 1e-9)
        coarse = given.copy()
        coarse[:, 1:] = np.clip(down.astype(np.int64), 1, given[:, 1:])
        finest /= 2.0


def _least_requests_s(problem: Problem, shapes: IntArray, blocks: IntArray) -> FloatArray:
    """(rows,) of requests (client, prompt, output) that all find ``blocks`` at the servers."""
    times = block_times(problem)
    costs = [hop_cost(problem, *shape, times=times) for shape in shapes.tolist()]
    hop, compute = (np.array([getattr(c, name) for c in costs]) for name in ("hop_s", "block_s"))
    length = problem.model.num_blocks
    if problem.network.relay == "client":
        return least_by_client_relay_s(length, blocks, hop, compute)
    # Prompts are relayed by the client all the same: only later tokens go from server to server.
    steps = np.array([[c.steps] for c in costs], dtype=np.float64)
    to_client = steps * problem.network.client_rtt_s[shapes[:, 0]]
    legs = steps * cheapest_legs_s(problem)
    return least_by_server_relay_s(length, blocks, hop - to_client, compute, to_client / 2, legs)


def cheapest_legs_s(problem: Problem) -> FloatArray:
    """(n,) the shortest way into each server from any other one, seconds; 0 for a single one."""
    between = problem.network.server_rtt_s + np.diag(np.full(problem.num_servers, np.inf))
    leg = between.min(axis=0, initial=np.inf) / 2
    found: FloatArray = np.where(np.isfinite(leg), leg, 0.0)
    return found


def least_by_client_relay_s(
    length: int, blocks: IntArray, hop_s: FloatArray, block_s: FloatArray
) -> FloatArray:
    """(rows,) cheapest chains, ``F(q) = min(F(q), min_k F(q - k) + hop + k block)``; inf = none.

    Parameters
    ----------
    length : blocks of the model.
    blocks : (n,) most blocks of each server.
    hop_s, block_s : (rows, n) seconds of a hop, and of each block it runs.
    """
    position = np.arange(length + 1)
    reach = np.full((len(hop_s), length + 1), np.inf)
    reach[:, 0] = 0.0
    for j in np.flatnonzero(blocks > 0):
        ramp = block_s[:, j, None] * position
        taken = window_min(reach - ramp, int(blocks[j])) + (ramp + hop_s[:, j, None])
        np.minimum(reach, taken, out=reach)
    return reach[:, -1]


def least_by_server_relay_s(
    length: int,
    blocks: IntArray,
    own_s: FloatArray,
    block_s: FloatArray,
    half_s: FloatArray,
    leg_s: FloatArray,
) -> FloatArray:
    """(rows,) the knapsack with one server marked as first and one as last of the chain.

    Parameters
    ----------
    own_s : (rows, n) seconds of a hop without the way to it.
    half_s : (rows, n) half a round trip from the client: the first server pays it on the way in,
        the last one on the way back.
    leg_s : (rows, n) what every server but the first pays on the way in.
    """
    position = np.arange(length + 1)
    # reach[row, f, l]: whether the first (f) and the last (l) server have been chosen.
    reach = np.full((len(own_s), 2, 2, length + 1), np.inf)
    reach[:, 0, 0, 0] = 0.0
    for j in np.flatnonzero(blocks > 0):
        ramp = (block_s[:, j, None] * position)[:, None, None]
        taken = window_min(reach - ramp, int(blocks[j])) + ramp + own_s[:, j, None, None, None]
        half = half_s[:, j, None]
        following = taken + leg_s[:, j, None, None, None]
        after = np.minimum(reach, following)
        for last in range(2):
            first = taken[:, 0, last] + half
            np.minimum(after[:, 1, last], first, out=after[:, 1, last])
        for flag in range(2):
            final = following[:, flag, 0] + half
            np.minimum(after[:, flag, 1], final, out=after[:, flag, 1])
        alone = taken[:, 0, 0] + 2 * half
        np.minimum(after[:, 1, 1], alone, out=after[:, 1, 1])
        reach = after
    return reach[:, 1, 1, -1]


def window_min(values: FloatArray, width: int) -> FloatArray:
    """``out[..., q] = min values[..., q - width : q]``, infinite where that is empty."""
    best = values
    size = 1
    while size < width:
        step = min(size, width - size)
        shorter = best
        best = shorter.copy()
        np.minimum(shorter[..., step:], shorter[..., :-step], out=best[..., step:])
        size += step
    out = np.full_like(values, np.inf)
    out[..., 1:] = best[..., :-1]
    return out
