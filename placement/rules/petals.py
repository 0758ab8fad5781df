"""PETALS' own placement: how many blocks a server takes, which ones, and when it moves.

Facts from PETALS' ``server/server.py`` and ``server/block_selection.py``; docs/model.md,
PETALS' rules P2 and P4.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...core.content import FloatArray, IntArray
from ...core.errors import SwarmplanWarning
from ...core.plan import Placement
from ...core.problem import Problem
from ...perfmodel.announced import (
    announced_throughput,
    blocks_by_rule,
    default_cache_tokens,
    most_cache_tokens,
)
from ..task import Task
from .cg_bp import thinnest_window

BALANCE_QUALITY = 0.75
EPS = 1e-3
#: Servers from which on compiled code does it: it takes half a second and 50 MB to load.
MANY = 200

#: ``petals``: the pool that ``--attn_cache_tokens`` reserves; ``left_over``: all memory that the
#: weights leave, which PETALS itself would leave unused.
CachePool = Literal["petals", "left_over"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PetalsRule:
    """PETALS servers joining one after another, then rebalancing; a placer.

    Attributes
    ----------
    join_order : server rows in order of joining; None = a random order by seed.
    attn_cache_tokens : the flag; None = PETALS' default for the model.
    cache : which pool sessions share.
    blocks : (n,) blocks per server in place of rule P1 (an ablation).
    rebalance : let servers move as PETALS does until a round moves nobody.
    """

    join_order: Sequence[int] | None = None
    attn_cache_tokens: int | None = None
    cache: CachePool = "petals"
    blocks: Sequence[int] | None = None
    rebalance: bool = True

    def __call__(self, task: Task) -> Placement:
        cost, problem = task.cost, task.problem
        rng = np.random.default_rng(task.seed)
        n, length = problem.num_servers, cost.num_blocks
        tokens = self.attn_cache_tokens or default_cache_tokens(problem)
        if self.blocks is None:
            blocks = blocks_by_rule(cost, tokens)
        else:
            blocks = np.asarray(self.blocks, dtype=np.int64)
        order = rng.permutation(n) if self.join_order is None else np.asarray(self.join_order)
        rates = announced_throughput(cost, blocks)
        start = np.zeros(n, dtype=np.int64)
        load = np.zeros(length)
        joined = [int(j) for j in order if blocks[j] > 0]
        _warn_of_unusable(problem, blocks)
        join(load, start, blocks, rates, joined)
        if self.rebalance:
            start = rebalanced(start, blocks, rates, joined, length, rng)
        spans = [(int(s), int(s + m)) for s, m in zip(start, blocks, strict=True)]
        pool = cost.cache_bytes(tokens, start, start + blocks) if self.cache == "petals" else None
        return cost.placed(spans, cache_bytes=pool, order=joined)


def join(
    load: FloatArray, start: IntArray, blocks: IntArray, rates: FloatArray, order: Sequence[int]
) -> None:
    """One after the other the servers of ``order`` take the blocks that are served worst by then.

    Parameters
    ----------
    load, start : (L,) throughput of each block, (n,) of each server's first one; both change.
    """
    for j in order:
        start[j] = thinnest_window(load, int(blocks[j]))
        load[start[j] : start[j] + blocks[j]] += rates[j]


def rebalanced(
    start: IntArray,
    blocks: IntArray,
    rates: FloatArray,
    joined: Sequence[int],
    length: int,
    rng: np.random.Generator,
) -> IntArray:
    """P4: servers check in random order whether they should move, until a round moves nobody.

    Returns new starts. Bounded by ``4 n + 16`` rounds: PETALS itself may chase for ever.
    """
    start = start.copy()
    load = load_of(start, blocks, rates, joined, length)
    for _ in range(4 * len(joined) + 16):
        moved = False
        for j in rng.permutation(np.asarray(joined, dtype=np.int64)).tolist():
            if should_move(load, start, blocks, rates, joined, j, rng):
                others = load_of(start, blocks, rates, [i for i in joined if i != j], length)
                start[j] = thinnest_window(others, int(blocks[j]))
                load = load_of(start, blocks, rates, joined, length)
                moved = True
        if not moved:
            break
    return start


def should_move(
    load: FloatArray,
    start: IntArray,
    blocks: IntArray,
    rates: FloatArray,
    joined: Sequence[int],
    server: int,
    rng: np.random.Generator,
) -> bool:
    """Whether PETALS' ``should_choose_other_blocks`` says yes for one server.

    Parameters
    ----------
    load : (L,) announced throughput of each block, of all who have joined.
    """
    load, quality = load.copy(), load.min()
    _shift(load, start, blocks, rates, server, -(1 + EPS))
    if quality > EPS and load.min() <= 0:
        return False  # leaving would cut the swarm
    best = thinnest_window(load, int(blocks[server]))
    if best == start[server]:
        return False
    trial = start.copy()
    trial[server] = best
    _shift(load, trial, blocks, rates, server, 1 + EPS)
    settle = _settled
    if len(joined) >= MANY:
        from .settling import settled as settle  # numba takes a while to load
    for _ in range(16 * len(joined)):
        order = rng.permutation(np.asarray(joined, dtype=np.int64))
        if settle(load, trial, blocks, rates, order, 1 + EPS):
            break
    reached = load.min()
    if reached < quality or reached < EPS:
        return False
    return bool(quality / reached < BALANCE_QUALITY - EPS)


def _settled(
    load: FloatArray,
    start: IntArray,
    blocks: IntArray,
    rates: FloatArray,
    order: IntArray,
    factor: float,
) -> bool:
    """One after the other the servers of ``order`` take their best blocks; whether all stay."""
    stay = True
    for j in order.tolist():
        _shift(load, start, blocks, rates, j, -factor)
        best = thinnest_window(load, int(blocks[j]))
        stay = stay and best == start[j]
        start[j] = best
        _shift(load, start, blocks, rates, j, factor)
    return stay


def load_of(
    start: IntArray, blocks: IntArray, rates: FloatArray, servers: Sequence[int], length: int
) -> FloatArray:
    """(L,) announced throughput of each block."""
    load = np.zeros(length)
    for j in servers:
        load[start[j] : start[j] + blocks[j]] += rates[j]
    return load


def _shift(
    load: FloatArray, start: IntArray, blocks: IntArray, rates: FloatArray, j: int, factor: float
) -> None:
    load[start[j] : start[j] + blocks[j]] += factor * rates[j]


def _warn_of_unusable(problem: Problem, blocks: IntArray) -> None:
    names = [problem.servers[j].id for j in np.flatnonzero(blocks <= 0)]
    if names:
        shown = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
        warnings.warn(
            f"{len(names)} server(s) too small for one block under PETALS' rule stay idle: {shown}",
            SwarmplanWarning,
            stacklevel=3,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PetalsTuned:
    """PETALS with its one flag set for the workload; everything else as PETALS does.

    ``--attn_cache_tokens`` = R sessions times the tokens that one session reserves, with the same
    R that CG-BP uses (never below one session), and sessions may use all memory that the weights
    leave.
    """

    join_order: Sequence[int] | None = None
    rebalance: bool = True

    def __call__(self, task: Task) -> Placement:
        session = task.problem.planning.session_tokens
        # A very long queue of sessions must not leave a server without blocks.
        tokens = max(session, min(task.sessions * session, most_cache_tokens(task.cost)))
        rule = PetalsRule(
            join_order=self.join_order,
            attn_cache_tokens=tokens,
            cache="left_over",
            rebalance=self.rebalance,
        )
        return rule(task)
