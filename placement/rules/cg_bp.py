"""CG-BP: conservative greedy block placement (arXiv 2512.21884; docs/model.md, CG-BP)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ...core.content import FloatArray, IntArray
from ...core.errors import HeuristicFailedError, InfeasibleError, SwarmplanError, SwarmplanWarning
from ...core.names import blocks as block_range
from ...core.plan import Placement
from ...core.problem import Problem
from ...perfmodel.cost import CostModel
from ...perfmodel.memory import (
    blocks_alone,
    blocks_that_fit,
    least_memory_bytes,
    sessions_on,
    sessions_that_fit,
)
from ..task import Task

#: What the imaginary server that serves every block at first is slower than the slowest real one.
DUMMY_MARGIN_S = 0.001
#: Sums that are equal in exact arithmetic differ by rounding; nearer than this they count as ties.
TIE = 1e-9


def cg_bp(task: Task) -> Placement:
    """CG-BP for the task's R.

    Raises
    ------
    InfeasibleError
        If the memory of all servers together cannot hold every block with one session each.
    HeuristicFailedError
        As ``place_blocks``.
    """
    require_memory(task.cost)
    return place_blocks(task.cost, task.sessions)


def require_memory(cost: CostModel, sessions: int = 1) -> None:
    """Raise ``InfeasibleError`` when even all memory together cannot hold every block once."""
    hosted = int(blocks_alone(cost, cost.problem.planning.session_tokens, sessions).sum())
    short = cost.num_blocks - hosted
    if short <= 0:
        return
    model, missing = cost.problem.model, least_memory_bytes(cost, short, sessions)
    raise InfeasibleError(
        f"the {cost.problem.num_servers} servers can host {hosted} of the {model.num_blocks} "
        f"blocks of {model.name} with room for {sessions} session(s): {short} blocks are missing, "
        f"at least {missing / 1e9:.2f} GB of memory; add servers, use a smaller quantisation or "
        "shorter sessions"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Per decode token: whole-server time t_j and time per block t~_j, (n,) seconds."""

    server_s: FloatArray
    per_block_s: FloatArray


def speeds(cost: CostModel, blocks: IntArray) -> Speeds:
    """``t_j = max_c t_cj + tau_j m_j`` and ``t_j / m_j``; infinite for servers without blocks."""
    run = cost.planned(0).step_run_s.typical(np.arange(len(blocks)), blocks)
    server = cost.step_hop_s.max(axis=0) + run
    with np.errstate(divide="ignore"):
        per_block = np.where(blocks > 0, server / np.maximum(blocks, 1), np.inf)
    return Speeds(server_s=server, per_block_s=per_block)


def place_blocks(cost: CostModel, sessions: int, *, capped: bool = True) -> Placement:
    """CG-BP for R = ``sessions``.

    Servers in increasing time per block; each takes the window of blocks that lack capacity for
    R sessions and are served slowest so far, or, once all blocks have it, the window with the
    least capacity.

    Raises
    ------
    HeuristicFailedError
        If some block stays without capacity for R sessions: this proves nothing about other
        methods.
    """
    problem, length = cost.problem, cost.num_blocks
    blocks = blocks_that_fit(cost, sessions, capped=capped)
    _warn_of_unusable(problem, blocks, sessions)
    speed = speeds(cost, blocks)
    usable = np.flatnonzero(blocks > 0)
    order = usable[np.argsort(speed.per_block_s[usable], kind="stable")]
    dummy_s = (speed.per_block_s[usable].max() if len(usable) else 0.0) + DUMMY_MARGIN_S
    capacity = np.zeros(length, dtype=np.int64)
    slow_s = np.full(length, sessions * dummy_s)
    start = np.zeros(problem.num_servers, dtype=np.int64)
    for j in order:
        m = int(blocks[j])
        begin = (
            _slowest_window(slow_s, capacity < sessions, m)
            if (capacity < sessions).any()
            else thinnest_window(capacity, m)
        )
        start[j] = begin
        window = slice(begin, begin + m)
        room = sessions_on(cost, int(j), begin, begin + m)
        served = np.minimum(np.maximum(sessions - capacity[window], 0), room)
        slow_s[window] -= (dummy_s - speed.per_block_s[j]) * served
        capacity[window] += room
    if (capacity < sessions).any():
        _refuse(problem, capacity, sessions)
    spans = [(int(s), int(s + m)) for s, m in zip(start, blocks, strict=True)]
    return cost.placed(spans, order=order.tolist())


def _slowest_window(slow_s: FloatArray, lacking: np.ndarray, width: int) -> int:
    """Start of the window with a lacking block and the largest sum; ties: smallest start."""
    windows = np.lib.stride_tricks.sliding_window_view(slow_s, width)
    total = windows.sum(axis=1)
    lacks = np.concatenate([[0], np.cumsum(lacking)])
    total = np.where(lacks[width:] > lacks[:-width], total, -np.inf)
    best = total.max()
    return int(np.flatnonzero(total >= best - TIE * abs(best))[0])


def thinnest_window(values: np.ndarray, width: int) -> int:
    """Start of the window whose sorted values are lexicographically smallest; ties: smallest."""
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(values, width), axis=1)
    left = np.arange(len(windows))
    for column in range(width):
        if len(left) == 1:
            break
        entries = windows[left, column]
        left = left[entries == entries.min()]
    return int(left[0])


def _warn_of_unusable(problem: Problem, blocks: IntArray, sessions: int) -> None:
    names = [problem.servers[j].id for j in np.flatnonzero(blocks == 0)]
    if names:
        shown = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
        warnings.warn(
            f"{len(names)} server(s) too small for one block beside {sessions} session(s) stay "
            f"idle: {shown}",
            SwarmplanWarning,
            stacklevel=3,
        )


def _refuse(problem: Problem, capacity: IntArray, sessions: int) -> None:
    short = np.flatnonzero(capacity < sessions)
    raise HeuristicFailedError(
        f"CG-BP leaves block(s) {block_range(short[0], short[-1] + 1)} of {problem.model.name} "
        f"without capacity for R = {sessions} sessions (the thinnest has {int(capacity.min())}); "
        "no proof that no plan exists: try fewer sessions or another method"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBound:
    """Theorem 2: seconds per decode token while at most R sessions run; ``count`` servers, K."""

    seconds: float
    count: int


def step_bound(cost: CostModel, placement: Placement, sessions: int) -> StepBound:
    """The bound of Theorem 2 for a CG-BP placement made for R = ``sessions``.

    ``sum_{i<=K} t~_i m_i - tau_K (sum_{i<=K} m_i - L)`` with K the first position in CG-BP's
    order after which every block has capacity for R sessions.

    Raises
    ------
    SwarmplanError
        Where blocks differ: the theorem does not hold there.
    ValueError
        If the placement has no capacity for this many sessions.
    """
    length, compute = cost.num_blocks, cost.planned(0).step_run_s
    if not cost.alike:
        raise SwarmplanError("Theorem 2 holds for equal blocks only")
    blocks = placement.num_blocks
    fits = sessions_that_fit(cost, placement)
    speed = speeds(cost, blocks)
    capacity = np.zeros(length, dtype=np.int64)
    total, hosted = 0.0, 0
    for count, j in enumerate(placement.order, start=1):
        capacity[placement.start[j] : placement.end[j]] += fits[j]
        total += float(speed.server_s[j])
        hosted += int(blocks[j])
        if (capacity >= sessions).all():
            seconds = total - float(compute.linear(j, hosted - length))
            return StepBound(seconds=seconds, count=count)
    raise ValueError("the placement has no capacity for this many sessions")
