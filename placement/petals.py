"""PETALS' own placement: how many blocks a server takes, which ones, and when it moves.

Facts from PETALS' ``server/server.py`` and ``server/block_selection.py``; docs/model.md,
PETALS' rules P1 to P4.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.errors import SwarmplanWarning
from ..core.plan import Placement
from ..core.problem import FloatArray, IntArray, Problem
from .cg_bp import thinnest_window

#: ``--attn_cache_tokens`` of PETALS 2.2.0.post1: plain attention, grouped-query attention.
DEFAULT_CACHE_TOKENS = (4096, 16384)
AUTOGRAD_BYTES_AT_D14336 = 2 * 2**30
ASSUMED_NETWORK_BITS_PER_S = 100e6
RELAY_PENALTY = 0.2
BALANCE_QUALITY = 0.75
EPS = 1e-3

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

    def __call__(self, problem: Problem, *, seed: int = 0) -> Placement:
        rng = np.random.default_rng(seed)
        n, length = problem.num_servers, problem.model.num_blocks
        tokens = self.attn_cache_tokens or default_cache_tokens(problem)
        if self.blocks is None:
            blocks = blocks_by_rule(problem, tokens)
        else:
            blocks = np.asarray(self.blocks, dtype=np.int64)
        order = rng.permutation(n) if self.join_order is None else np.asarray(self.join_order)
        rates = announced_throughput(problem, blocks)
        start = np.zeros(n, dtype=np.int64)
        load = np.zeros(length)
        joined = [int(j) for j in order if blocks[j] > 0]
        _warn_of_unusable(problem, blocks)
        for j in joined:
            start[j] = thinnest_window(load, int(blocks[j]))
            load[start[j] : start[j] + blocks[j]] += rates[j]
        if self.rebalance:
            start = rebalanced(start, blocks, rates, joined, length, rng)
        spans = [(int(s), int(s + m)) for s, m in zip(start, blocks, strict=True)]
        pool = problem.cache_bytes(tokens) * blocks if self.cache == "petals" else None
        return Placement.of(problem, spans, cache_bytes=pool, order=joined)


def default_cache_tokens(problem: Problem) -> int:
    """PETALS' default of ``--attn_cache_tokens`` for this model."""
    return DEFAULT_CACHE_TOKENS[1 if problem.model.grouped_query else 0]


def blocks_by_rule(problem: Problem, cache_tokens: int) -> IntArray:
    """(n,) P1: ``floor((M - A) / (s_m + C_blk))`` within [0, max_blocks]."""
    reserve = AUTOGRAD_BYTES_AT_D14336 * problem.model.hidden_size // 14336
    per_block = problem.block_bytes + problem.cache_bytes(cache_tokens)
    fit = (problem.memory_bytes - reserve) // per_block
    blocks: IntArray = np.clip(fit, 0, problem.max_blocks)
    return blocks


def announced_throughput(problem: Problem, blocks: IntArray) -> FloatArray:
    """(n,) P3: ``min(forward_rps / ((m + 1) / 2), network_rps * (0.2 if relayed))``, tokens/s.

    What a server does not announce is derived as PETALS would measure it: ``forward_rps`` from
    the time of a 1024-token prompt, the network from 100 Mbit/s and 16-bit hidden states.
    """
    rates = np.zeros(problem.num_servers)
    for j, server in enumerate(problem.servers):
        forward = server.forward_rps or 1024.0 / max(server.timing.prefill_s(1024), 1e-9)
        network = server.network_rps or (
            ASSUMED_NETWORK_BITS_PER_S / (16 * problem.model.hidden_size)
        )
        relay = RELAY_PENALTY if server.relayed else 1.0
        rates[j] = min(forward / ((blocks[j] + 1) / 2), network * relay) if blocks[j] > 0 else 0.0
    return rates


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
    for _ in range(4 * len(joined) + 16):
        moved = False
        for j in rng.permutation(np.asarray(joined, dtype=np.int64)).tolist():
            if should_move(start, blocks, rates, joined, j, length, rng):
                load = _load(start, blocks, rates, [i for i in joined if i != j], length)
                start[j] = thinnest_window(load, int(blocks[j]))
                moved = True
        if not moved:
            break
    return start


def should_move(
    start: IntArray,
    blocks: IntArray,
    rates: FloatArray,
    joined: Sequence[int],
    server: int,
    length: int,
    rng: np.random.Generator,
) -> bool:
    """Whether PETALS' ``should_choose_other_blocks`` says yes for one server."""
    load = _load(start, blocks, rates, joined, length)
    quality = load.min()
    _shift(load, start, blocks, rates, server, -(1 + EPS))
    if quality > EPS and load.min() <= 0:
        return False  # leaving would cut the swarm
    best = thinnest_window(load, int(blocks[server]))
    if best == start[server]:
        return False
    trial = start.copy()
    trial[server] = best
    _shift(load, trial, blocks, rates, server, 1 + EPS)
    moved = True
    for _ in range(16 * len(joined)):
        moved = False
        for i in rng.permutation(np.asarray(joined, dtype=np.int64)).tolist():
            _shift(load, trial, blocks, rates, i, -(1 + EPS))
            target = thinnest_window(load, int(blocks[i]))
            moved |= target != trial[i]
            trial[i] = target
            _shift(load, trial, blocks, rates, i, 1 + EPS)
        if not moved:
            break
    reached = load.min()
    if reached < quality or reached < EPS:
        return False
    return bool(quality / reached < BALANCE_QUALITY - EPS)


def _load(
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

    def __call__(self, problem: Problem, *, seed: int = 0) -> Placement:
        from .sessions import target_sessions

        tokens = target_sessions(problem) * problem.planning.session_tokens
        # A very long queue of sessions must not leave a server without blocks.
        reserve = AUTOGRAD_BYTES_AT_D14336 * problem.model.hidden_size // 14336
        spare = problem.memory_bytes - reserve - problem.block_bytes
        room = int(spare.max()) // problem.model.cache_bytes_per_token
        tokens = max(problem.planning.session_tokens, min(tokens, math.floor(room)))
        rule = PetalsRule(
            join_order=self.join_order,
            attn_cache_tokens=tokens,
            cache="left_over",
            rebalance=self.rebalance,
        )
        return rule(problem, seed=seed)
