"""A decode step of several sessions through one Llama block of PETALS.

Norms, projections and MLP run over all sessions at once, attention for each session on its own
cache, in the order of operations of ``petals.models.llama.block``. Sums run in another order there
where a product has more rows, so results agree within rounding and not bit by bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from petals.models.llama.block import WrappedLlamaBlock, apply_rotary_pos_emb

#: Runs a linear layer over rows, (rows, in) -> (rows, out).
Way = Callable[[Any, Any], Any]


class Place(NamedTuple):
    """A session's cache of one block, and where its new token belongs.

    Attributes
    ----------
    keys, values : (1, KV heads, head size, length) and (1, KV heads, length, head size).
    position : tokens before the new one, as the step says; what the cache holds beyond is not
        looked at, so that a step can be done again and a session can go back.
    """

    keys: Any
    values: Any
    position: int


def refusal(module: Any) -> str | None:
    """Why a block of a server cannot take several sessions at once; None where it can."""
    if len(module.module_shards) != 1:
        return "tensor parallel"
    (block,) = module.module_shards
    if type(block) is not WrappedLlamaBlock:
        return f"no Llama block: {type(block).__name__}"
    if block.self_attn.config.pretraining_tp > 1:
        return "sliced products"
    scaling = block.self_attn.config.rope_scaling
    if scaling is not None and scaling["type"] != "linear":
        return f"rotary scaling that depends on the session: {scaling['type']}"
    odd = {type(layer).__name__ for layer in layers(block)} - {"Linear", "LinearNF4"}
    return f"layers of another kind: {', '.join(sorted(odd))}" if odd else None


def layers(block: Any) -> tuple[Any, ...]:
    """The linear layers of a block."""
    attention, mlp = block.self_attn, block.mlp
    return (
        *(attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj),
        *(mlp.gate_proj, mlp.up_proj, mlp.down_proj),
    )


def block_step(block: Any, hidden: Any, places: Sequence[Place], way: Way) -> Any:
    """One new token of each session through a block.

    Parameters
    ----------
    hidden : (sessions, hidden size); not changed.
    places : of each session; keys and values of the new token are written there.

    Returns
    -------
    (sessions, hidden size).
    """
    attended = _attention(block.self_attn, block.input_layernorm(hidden), places, way)
    hidden = hidden + attended
    mlp, normed = block.mlp, block.post_attention_layernorm(hidden)
    inner = mlp.act_fn(way(mlp.gate_proj, normed)) * way(mlp.up_proj, normed)
    return hidden + way(mlp.down_proj, inner)


def _attention(attention: Any, hidden: Any, places: Sequence[Place], way: Way) -> Any:
    count, size = len(places), attention.head_dim
    queries = way(attention.q_proj, hidden).view(count, -1, size)
    keys = way(attention.k_proj, hidden).view(count, -1, size)
    values = way(attention.v_proj, hidden).view(count, -1, size)
    queries, keys = _rotated(attention, queries, keys, [p.position for p in places])
    groups = attention.num_key_value_groups
    queries = queries.view(count, attention.num_key_value_heads, groups, size)
    out = torch.empty_like(queries)
    for i, place in enumerate(places):
        place.keys[0, :, :, place.position] = keys[i]
        place.values[0, :, place.position] = values[i]
        length = place.position + 1
        scores = torch.matmul(queries[i], place.keys[0, :, :, :length]) / math.sqrt(size)
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)
        out[i] = torch.matmul(weights, place.values[0, :, :length])
    return way(attention.o_proj, out.view(count, -1))


def _rotated(attention: Any, queries: Any, keys: Any, positions: Sequence[int]) -> tuple[Any, Any]:
    """Queries and keys turned by the position of each session."""
    cos, sin = attention.rotary_emb(keys, seq_len=max(positions) + 1)
    at = torch.tensor(positions, device=keys.device)
    turned: tuple[Any, Any] = apply_rotary_pos_emb(
        queries, keys, cos[0, 0, at][:, None], sin[0, 0, at][:, None]
    )
    return turned
