"""CG-BP: conservative greedy block placement (arXiv 2512.21884; docs/model.md, CG-BP)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ..core.errors import HeuristicFailedError, SwarmplanWarning
from ..core.plan import Placement
from ..core.problem import FloatArray, IntArray, Problem
from ..perfmodel.latency import step_block_s, step_hop_s
from ..perfmodel.memory import blocks_that_fit, sessions_that_fit

#: What the imaginary server that serves every block at first is slower than the slowest real one.
DUMMY_MARGIN_S = 0.001
#: Sums that are equal in exact arithmetic differ by rounding; nearer than this they count as ties.
TIE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class CgBp:
    """CG-BP as a placer; ``sessions`` overrides the derived R."""

    sessions: int | None = None

    def __call__(self, problem: Problem, *, seed: int = 0) -> Placement:
        from .sessions import require_memory, target_sessions

        sessions = self.sessions or target_sessions(problem)
        require_memory(problem)
        return place_blocks(problem, sessions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Per decode token: whole-server time t_j, time per block t~_j, compute tau_j; (n,) seconds."""

    server_s: FloatArray
    per_block_s: FloatArray
    compute_s: FloatArray


def speeds(problem: Problem, blocks: IntArray) -> Speeds:
    """``t_j = max_c t_cj + tau_j m_j`` and ``t_j / m_j``; infinite for servers without blocks."""
    plan = problem.planning
    compute = step_block_s(problem, plan.prompt_tokens + 0.5 * plan.output_tokens)
    server = step_hop_s(problem).max(axis=0) + compute * blocks
    with np.errstate(divide="ignore"):
        per_block = np.where(blocks > 0, server / np.maximum(blocks, 1), np.inf)
    return Speeds(server_s=server, per_block_s=per_block, compute_s=compute)


def place_blocks(problem: Problem, sessions: int, *, capped: bool = True) -> Placement:
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
    length = problem.model.num_blocks
    blocks = blocks_that_fit(problem, sessions, capped=capped)
    _warn_of_unusable(problem, blocks, sessions)
    fits = sessions_that_fit(problem, blocks)
    speed = speeds(problem, blocks)
    usable = np.flatnonzero(blocks > 0)
    order = usable[np.argsort(speed.per_block_s[usable], kind="stable")]
    dummy_s = (speed.per_block_s[usable].max() if len(usable) else 0.0) + DUMMY_MARGIN_S
    capacity = np.zeros(length, dtype=np.int64)
    slow_s = np.full(length, sessions * dummy_s)
    start = np.zeros(problem.num_servers, dtype=np.int64)
    for j in order:
        m, room = int(blocks[j]), int(fits[j])
        begin = (
            _slowest_window(slow_s, capacity < sessions, m)
            if (capacity < sessions).any()
            else thinnest_window(capacity, m)
        )
        start[j] = begin
        window = slice(begin, begin + m)
        served = np.minimum(np.maximum(sessions - capacity[window], 0), room)
        slow_s[window] -= (dummy_s - speed.per_block_s[j]) * served
        capacity[window] += room
    if (capacity < sessions).any():
        _refuse(problem, capacity, sessions)
    spans = [(int(s), int(s + m)) for s, m in zip(start, blocks, strict=True)]
    return Placement.of(problem, spans, order=order.tolist())


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
        f"CG-BP leaves block(s) {short[0]}..{short[-1]} of {problem.model.name} without capacity "
        f"for R = {sessions} sessions (the thinnest has {int(capacity.min())}); no proof that no "
        "plan exists: try fewer sessions or another method"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBound:
    """Theorem 2: seconds per decode token while at most R sessions run; ``count`` servers, K."""

    seconds: float
    count: int


def step_bound(problem: Problem, placement: Placement, sessions: int) -> StepBound:
    """The bound of Theorem 2 for a CG-BP placement made for R = ``sessions``.

    ``sum_{i<=K} t~_i m_i - tau_K (sum_{i<=K} m_i - L)`` with K the first position in CG-BP's
    order after which every block has capacity for R sessions.
    """
    length = problem.model.num_blocks
    blocks = placement.num_blocks
    fits = sessions_that_fit(problem, blocks)
    speed = speeds(problem, blocks)
    capacity = np.zeros(length, dtype=np.int64)
    total, hosted = 0.0, 0
    for count, j in enumerate(placement.order, start=1):
        capacity[placement.start[j] : placement.end[j]] += fits[j]
        total += float(speed.server_s[j])
        hosted += int(blocks[j])
        if (capacity >= sessions).all():
            seconds = total - float(speed.compute_s[j]) * (hosted - length)
            return StepBound(seconds=seconds, count=count)
    raise ValueError("the placement has no capacity for this many sessions")
