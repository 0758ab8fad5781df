"""A block as its kernels see it, whatever is known of the model: weights, launches, attention."""

from __future__ import annotations

from dataclasses import replace

from ..core.blocks import Block
from ..core.problem import ModelSpec
from .catalogue import block_parameters

#: Width of a head of a model of which only sizes are known.
TYPICAL_HEAD = 128
#: Queries, keys, values, output, and the three of a gated feed-forward network.
DENSE_LINEARS = 7


def usual_block(model: ModelSpec) -> ModelSpec:
    """The model of the block of which there are most; the first of them where kinds tie."""
    each = model.each_block()
    return max(dict.fromkeys(each), key=each.count)


def shape_of(model: ModelSpec) -> Block:
    """The shape of a model's blocks, of the usual one where they differ: exact where it is known
    what it is made of, else that of a dense Llama.

    What is read of a token is what the runtime keeps of it.
    """
    one = usual_block(model)
    cache = one.mean_cache_bytes_per_token
    if one.blocks is not None:
        assert isinstance(one.blocks, Block)
        return replace(one.blocks, cache_bytes=cache)
    heads = max(1, model.hidden_size // TYPICAL_HEAD)
    return Block(
        shared_parameters=block_parameters(one),
        linears=DENSE_LINEARS,
        heads=heads,
        cache_bytes=cache,
        wide_bytes=max(cache, 4.0 * model.hidden_size),
    )
