"""CG-BP: conservative greedy block placement (arXiv 2512.21884; docs/model.md, CG-BP)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.content import FloatArray, IntArray
from ...core.errors import HeuristicFailedError, InfeasibleError, SwarmplanError, SwarmplanWarning
from ...core.names import blocks as block_range
from ...core.plan import Placement
from ...core.problem import Problem
from ...perfmodel.cost import CostModel
from ...perfmodel.memory import (
    Windows,
    blocks_alone,
    least_memory_bytes,
    sessions_on,
    sessions_that_fit,
    windows_that_fit,
)
from ..task import Task

#: What the imaginary server that serves every block at first is slower than the slowest real one.
DUMMY_MARGIN_S = 0.001
#: Sums that are equal in exact arithmetic differ by rounding; nearer than this they count as ties.
TIE = 1e-9
#: Servers from which on compiled code chooses: it takes half a second and 50 MB to load.
MANY = 3_000


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


def window_speeds_s(cost: CostModel, windows: Sequence[Windows]) -> FloatArray:
    """(n,) t~_j, the mean over a server's windows of ``(t_j + tau_j of the window) / its blocks``;
    infinite for servers without one."""
    hop, run = cost.step_hop_s.max(axis=0), cost.planned(0).step_run_s
    found = np.full(len(windows), np.inf)
    if cost.alike:
        rows = np.array([j for j, own in enumerate(windows) if len(own)], dtype=np.int64)
        width = _widths(windows, rows)
        found[rows] = (hop[rows] + run(rows, 0, width)) / width
        return found
    for j, own in enumerate(windows):
        if len(own):
            each = (hop[j] + run(j, own.start, own.end)) / (own.end - own.start)
            found[j] = each[0] if (each == each[0]).all() else each.mean()
    return found


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
    windows = windows_that_fit(cost, sessions, capped=capped)
    per_block_s = window_speeds_s(cost, windows)
    _warn_of_unusable(problem, [j for j, own in enumerate(windows) if not len(own)], sessions)
    usable = np.array([j for j, own in enumerate(windows) if len(own)], dtype=np.int64)
    order = usable[np.argsort(per_block_s[usable], kind="stable")]
    dummy_s = (per_block_s[usable].max() if len(usable) else 0.0) + DUMMY_MARGIN_S
    capacity = np.zeros(length, dtype=np.int64)
    slow_s = np.full(length, sessions * dummy_s)
    gain_s = dummy_s - per_block_s
    if cost.alike and len(order) >= MANY:
        spans = _filled(cost, sessions, windows, order, gain_s, slow_s, capacity)
    else:
        spans = _taken(cost, sessions, windows, order, gain_s, slow_s, capacity)
    if (capacity < sessions).any():
        _refuse(problem, capacity, sessions)
    return cost.placed(spans, order=order.tolist())


def _taken(
    cost: CostModel,
    sessions: int,
    windows: Sequence[Windows],
    order: IntArray,
    gain_s: FloatArray,
    slow_s: FloatArray,
    capacity: IntArray,
) -> list[tuple[int, int]]:
    """The spans of all servers; ``slow_s`` and ``capacity`` follow."""
    spans = [(0, 0)] * len(windows)
    for j in order.tolist():
        own, lacking = windows[j], capacity < sessions
        chosen = _slowest(slow_s, lacking, own) if lacking.any() else thinnest(capacity, own)
        begin, end = spans[j] = int(own.start[chosen]), int(own.end[chosen])
        room = sessions_on(cost, j, begin, end)
        served = np.minimum(np.maximum(sessions - capacity[begin:end], 0), room)
        slow_s[begin:end] -= gain_s[j] * served
        capacity[begin:end] += room
    return spans


def _filled(
    cost: CostModel,
    sessions: int,
    windows: Sequence[Windows],
    order: IntArray,
    gain_s: FloatArray,
    slow_s: FloatArray,
    capacity: IntArray,
) -> list[tuple[int, int]]:
    """The same, compiled, where blocks are alike: all windows of a server are as long."""
    from .filling import fill

    width, start = np.zeros((2, len(windows)), dtype=np.int64)
    width[order] = _widths(windows, order)
    room = np.maximum(cost.room_bytes(np.zeros_like(width), width), 0)
    room[order] //= cost.session_bytes(0, width[order])
    fill(order, width, room, gain_s, slow_s, capacity, start, sessions, TIE)
    return list(zip(start.tolist(), (start + width).tolist(), strict=True))


def _widths(windows: Sequence[Windows], rows: IntArray) -> IntArray:
    """(rows,) blocks of the first window of some servers."""
    own = [windows[j] for j in rows.tolist()]
    return np.array([w.end[0] - w.start[0] for w in own], dtype=np.int64)


def _slowest(slow_s: FloatArray, lacking: np.ndarray, windows: Windows) -> int:
    """The window with a lacking block and the largest sum; ties: smallest start."""
    start, end = windows.start, windows.end
    sums, lacks = (np.concatenate([[0], np.cumsum(each)]) for each in (slow_s, lacking))
    total = np.where(lacks[end] > lacks[start], sums[end] - sums[start], -np.inf)
    best = total.max()
    return int(np.flatnonzero(total >= best - TIE * abs(best))[0])


def thinnest(values: np.ndarray, windows: Windows) -> int:
    """The window whose sorted values are lexicographically smallest, a longer one where they begin
    alike; ties: smallest start."""
    width = windows.end - windows.start
    longest = int(width.max())
    at = windows.start[:, None] + np.arange(longest)
    inside = np.arange(longest) < width[:, None]
    padded = np.where(inside, values[np.minimum(at, len(values) - 1)], np.inf)
    return _least_row(np.sort(padded, axis=1))


def thinnest_window(values: np.ndarray, width: int) -> int:
    """Start of the window whose sorted values are lexicographically smallest; ties: smallest."""
    return _least_row(np.sort(np.lib.stride_tricks.sliding_window_view(values, width), axis=1))


def _least_row(rows: np.ndarray) -> int:
    """The lexicographically smallest of some rows, the first where several are."""
    left = np.arange(len(rows))
    for column in range(rows.shape[1]):
        if len(left) == 1:
            break
        entries = rows[left, column]
        left = left[entries == entries.min()]
    return int(left[0])


def _warn_of_unusable(problem: Problem, small: Sequence[int], sessions: int) -> None:
    names = [problem.servers[j].id for j in small]
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
    """Seconds per decode token while at most R sessions run; ``count`` servers, K."""

    seconds: float
    count: int


def step_bound(cost: CostModel, placement: Placement, sessions: int) -> StepBound:
    """The bound of Theorem 2 for a CG-BP placement made for R = ``sessions``.

    ``sum_{i<=K} t~_i m_i - tau_K (sum_{i<=K} m_i - L)`` with K the first position in CG-BP's
    order after which every block has capacity for R sessions.

    Raises
    ------
    SwarmplanError
        Where blocks differ: the theorem does not hold there, ``block_bound`` does.
    ValueError
        If the placement has no capacity for this many sessions.
    """
    length, compute = cost.num_blocks, cost.planned(0).step_run_s
    if not cost.alike:
        raise SwarmplanError("Theorem 2 holds for equal blocks only; block_bound for all")
    first = _covering(cost, placement, sessions)
    speed = speeds(cost, placement.num_blocks)
    total = float(sum(float(speed.server_s[j]) for j in first))
    spare = int(placement.num_blocks[first].sum()) - length
    seconds = total - float(compute.linear(first[-1], spare))
    return StepBound(seconds=seconds, count=len(first))


def block_bound(cost: CostModel, placement: Placement, sessions: int) -> StepBound:
    """The same for blocks that may differ (*own*), looser where they do not.

    ``sum_{i<=K} max_c t_ci + sum_b max_{i<=K hosts b} tau_ib``: a session passes each of the first
    K servers once at most, and every block at one of those that host it.

    Raises
    ------
    ValueError
        If the placement has no capacity for this many sessions.
    """
    first = _covering(cost, placement, sessions)
    run, block = cost.planned(0).step_run_s, np.arange(cost.num_blocks)
    slowest = np.zeros(cost.num_blocks)
    for j in first:
        hosted = block[placement.start[j] : placement.end[j]]
        slowest[hosted] = np.maximum(slowest[hosted], np.diff(run.ramp(j))[hosted])
    hops = cost.step_hop_s.max(axis=0)[first].sum()
    return StepBound(seconds=float(hops + slowest.sum()), count=len(first))


def _covering(cost: CostModel, placement: Placement, sessions: int) -> list[int]:
    """The first servers in CG-BP's order that give every block capacity for so many sessions."""
    fits = sessions_that_fit(cost, placement)
    capacity = np.zeros(cost.num_blocks, dtype=np.int64)
    for count, j in enumerate(placement.order, start=1):
        capacity[placement.start[j] : placement.end[j]] += fits[j]
        if (capacity >= sessions).all():
            return list(placement.order[:count])
    raise ValueError("the placement has no capacity for this many sessions")
