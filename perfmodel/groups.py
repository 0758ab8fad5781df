"""Servers that are read as one: alike as the worst or the best of them, and how far apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np

from ..core.content import IntArray
from ..core.problem import Server, per_block
from .cost import CostModel
from .timing import picked

Side = Literal["worst", "best"]
T = TypeVar("T")


def levelled_servers(members: Sequence[Server], side: Side, num_blocks: int) -> list[Server]:
    """Servers, each as slow and small as the worst of them, or as fast and large as the best."""
    slow, large = (max, min) if side == "worst" else (min, max)
    unlimited = 10**9
    limit = large(unlimited if m.max_blocks is None else m.max_blocks for m in members)
    timing = _level([m.timing for m in members], num_blocks, lambda each: picked(each, slow))
    memory_bytes = large(m.memory_bytes for m in members)
    block_bytes = _level([m.block_bytes for m in members], num_blocks, slow)
    return [
        replace(
            member,
            timing=timing,
            memory_bytes=memory_bytes,
            block_bytes=block_bytes,
            max_blocks=None if limit == unlimited else limit,
        )
        for member in members
    ]


def _level(
    members: Sequence[T | tuple[T, ...]], num_blocks: int, pick: Callable[[tuple[T, ...]], T]
) -> T | tuple[T, ...]:
    """A figure picked among those of the members: one, or one for each block where they differ."""
    distinct = tuple(dict.fromkeys(members))
    differ = any(isinstance(figure, tuple) for figure in distinct)
    given = [per_block(figure, num_blocks if differ else 1) for figure in distinct]
    each = tuple(pick(block) for block in zip(*given, strict=True))
    return each[0] if all(figure == each[0] for figure in each) else each


def spreads_s(cost: CostModel, rows: IntArray) -> tuple[float, float]:
    """Slowest minus fastest hop of a decode step (for the client where they differ most), and
    slowest minus fastest block, among some servers."""
    plan = cost.problem.planning
    hop = cost.step_hop_s[:, rows]
    block = cost.step_run_s(plan.prompt_tokens + plan.output_tokens).dearest_block()[rows]
    return float((hop.max(axis=1) - hop.min(axis=1)).max()), float(np.ptp(block))
