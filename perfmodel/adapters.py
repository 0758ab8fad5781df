"""What adapters (LoRA) take of memory: two thin matrices beside every matrix that they change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ..core.adapters import Adapter
from ..core.blocks import Block
from ..core.content import IntArray
from ..core.plan import Placement
from ..core.problem import Problem, Server, Variant, alike, per_block
from .cost import CostModel

#: Matrices of a block that an adapter may change: of attention, and of the gated network.
Matrix = Literal["q", "k", "v", "o", "gate", "up", "down"]
#: Values of adapters are 16 bit, whatever the model is quantised to.
VALUE_BYTES = 2


def lora_bytes(block: Block, hidden_size: int, rank: int, matrices: Iterable[Matrix]) -> int:
    """Bytes of an adapter of so many columns on one block: ``2 r (in + out)`` of each matrix.

    Raises
    ------
    ValueError
        For matrices whose shape does not follow from the block: of experts, of latent or linear
        attention, of networks without a gate.
    """
    return sum(VALUE_BYTES * rank * sum(_shape(block, hidden_size, name)) for name in matrices)


def _shape(block: Block, d: int, name: Matrix) -> tuple[int, int]:
    """Values that go into a matrix and that come out."""
    if not block.heads or block.expanded_bytes is not None or block.state_bytes:
        raise ValueError("latent and linear attention have other matrices")
    keys = 2 * VALUE_BYTES
    a, k = round(block.wide_bytes / keys), round(block.cache_bytes / keys)
    if name in ("q", "o"):
        return (d, a) if name == "q" else (a, d)
    if name in ("k", "v"):
        return d, k
    inner, rest = divmod(block.shared_parameters - block.vector_parameters - 2 * d * (a + k), 3 * d)
    if block.experts or rest or inner <= 0:
        raise ValueError("experts and networks without a gate have other matrices")
    return (inner, d) if name == "down" else (d, inner)


def adapter_bytes(cost: CostModel, placement: Placement) -> dict[str, IntArray]:
    """(n,) memory of each adapter that is asked for on the span of each server."""
    asked, found = cost.problem.asked_adapters, {}
    for adapter in cost.problem.adapters:
        if adapter.id in asked:
            each = per_block(adapter.block_bytes, cost.num_blocks)
            upto = np.concatenate(([0], np.cumsum(np.array(each, dtype=np.int64))))
            found[adapter.id] = upto[placement.end] - upto[placement.start]
    return found


def largest_first(problem: Problem) -> tuple[Adapter, ...]:
    """The adapters that are asked for, by their size over all blocks."""
    asked, length = problem.asked_adapters, problem.model.num_blocks
    own = [a for a in problem.adapters if a.id in asked]
    return tuple(sorted(own, key=lambda a: -sum(per_block(a.block_bytes, length))))


def setting_aside(problem: Problem, adapters: Sequence[Adapter]) -> Problem:
    """The problem where open servers have room for these adapters on all blocks that they host."""
    each = [per_block(a.block_bytes, problem.model.num_blocks) for a in adapters]
    more = [sum(block) for block in zip(*each, strict=True)]

    def heavier(hosted: Server | Variant) -> int | tuple[int, ...]:
        own = per_block(hosted.block_bytes, len(more))
        return alike(tuple(a + b for a, b in zip(own, more, strict=True)))

    servers = tuple(
        s
        if s.adapters is not None
        else replace(
            s,
            block_bytes=heavier(s),
            variants=tuple(replace(v, block_bytes=heavier(v)) for v in s.variants),
        )
        for s in problem.servers
    )
    return replace(problem, servers=servers)
