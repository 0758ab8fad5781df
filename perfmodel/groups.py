"""Servers that are read as one: alike as the worst or the best of them, and how far apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np

from ..core.content import IntArray
from ..core.problem import Server, per_block
from .cost import CostModel
from .timing import picked

Side = Literal["worst", "best"]
T = TypeVar("T")


def levelled_server(
    server: Server, members: Sequence[Server], side: Side, num_blocks: int
) -> Server:
    """A server as slow and small as the worst of some, or as fast and large as the best."""
    slow, large = (max, min) if side == "worst" else (min, max)
    unlimited = 10**9
    limit = large(unlimited if m.max_blocks is None else m.max_blocks for m in members)
    weights = [per_block(m.block_bytes, num_blocks) for m in members]
    timings = [per_block(m.timing, num_blocks) for m in members]
    return replace(
        server,
        timing=_one(tuple(picked(each, slow) for each in zip(*timings, strict=True))),
        memory_bytes=large(m.memory_bytes for m in members),
        block_bytes=_one(tuple(slow(each) for each in zip(*weights, strict=True))),
        max_blocks=None if limit == unlimited else limit,
    )


def _one(each: tuple[T, ...]) -> T | tuple[T, ...]:
    """One figure where all are the same."""
    return each[0] if all(figure == each[0] for figure in each) else each


def spreads_s(cost: CostModel, rows: IntArray) -> tuple[float, float]:
    """Slowest minus fastest hop of a decode step (for the client where they differ most), and
    slowest minus fastest block, among some servers."""
    plan = cost.problem.planning
    hop = cost.step_hop_s[:, rows]
    block = cost.step_run_s(plan.prompt_tokens + plan.output_tokens).dearest_block()[rows]
    return float((hop.max(axis=1) - hop.min(axis=1)).max()), float(np.ptp(block))
