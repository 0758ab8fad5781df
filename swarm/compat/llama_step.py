"""A decode step of several sessions through one Llama block of PETALS.

A session has one new token, or a few where drafts are looked at. Norms, projections and MLP run
over the tokens of all sessions at once, attention for each session on its own cache, in the order
of operations of ``petals.models.llama.block``. Sums run in another order there
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
    """A session's cache of one block, and where its new tokens belong.

    Attributes
    ----------
    keys, values : (1, KV heads, head size, length) and (1, KV heads, length, head size).
    position : tokens before the new ones, as the step says; what the cache holds beyond is not
        looked at, so that a step can be done again and a session can go back.
    tokens : new ones.
    """

    keys: Any
    values: Any
    position: int
    tokens: int = 1


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
    """The new tokens of each session through a block.

    Parameters
    ----------
    hidden : (rows, hidden size), the tokens of the first session, then those of the next; not
        changed.
    places : of each session; keys and values of the new tokens are written there.

    Returns
    -------
    (rows, hidden size).
    """
    attended = _attention(block.self_attn, block.input_layernorm(hidden), places, way)
    hidden = hidden + attended
    mlp, normed = block.mlp, block.post_attention_layernorm(hidden)
    inner = mlp.act_fn(way(mlp.gate_proj, normed)) * way(mlp.up_proj, normed)
    return hidden + way(mlp.down_proj, inner)


def _attention(attention: Any, hidden: Any, places: Sequence[Place], way: Way) -> Any:
    rows, size, heads = len(hidden), attention.head_dim, attention.num_key_value_heads
    queries = way(attention.q_proj, hidden).view(rows, -1, size)
    keys = way(attention.k_proj, hidden).view(rows, -1, size)
    values = way(attention.v_proj, hidden).view(rows, -1, size)
    positions = [p.position + i for p in places for i in range(p.tokens)]
    queries, keys = _rotated(attention, queries, keys, positions)
    queries = queries.view(rows, heads, attention.num_key_value_groups, size)
    out = torch.empty_like(queries)
    at = 0
    for place in places:
        own = slice(at, at + place.tokens)
        out[own] = _attended(place, queries[own], keys[own], values[own])
        at = own.stop
    return way(attention.o_proj, out.view(rows, -1))


def _attended(place: Place, queries: Any, keys: Any, values: Any) -> Any:
    """Attention of one session's new tokens, whose keys and values are written.

    Parameters
    ----------
    queries : (tokens, KV heads, groups, head size); keys, values : (tokens, KV heads, head size).

    Returns
    -------
    As ``queries``.
    """
    tokens, heads, groups, size = queries.shape
    length = place.position + tokens
    place.keys[0, :, :, place.position : length] = keys.permute(1, 2, 0)
    place.values[0, :, place.position : length] = values.transpose(0, 1)
    by_head = queries.transpose(0, 1).reshape(heads, tokens * groups, size)
    scores = torch.matmul(by_head, place.keys[0, :, :, :length]) / math.sqrt(size)
    if tokens > 1:  # nobody looks at tokens after its own
        seen = place.position + torch.arange(tokens, device=scores.device)
        later = torch.arange(length, device=scores.device) > seen[:, None]
        apart = scores.view(heads, tokens, groups, length)
        apart.masked_fill_(later[None, :, None], float("-inf"))
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)
    found = torch.matmul(weights, place.values[0, :, :length])
    return found.view(heads, tokens, groups, size).transpose(0, 1)


def _rotated(attention: Any, queries: Any, keys: Any, positions: Sequence[int]) -> tuple[Any, Any]:
    """Queries and keys turned by the position of each row."""
    cos, sin = attention.rotary_emb(keys, seq_len=max(positions) + 1)
    at = torch.tensor(positions, device=keys.device)
    turned: tuple[Any, Any] = apply_rotary_pos_emb(
        queries, keys, cos[0, 0, at][:, None], sin[0, 0, at][:, None]
    )
    return turned
