"""Latent attention: one short vector a token stands for the keys and values of all heads."""

from __future__ import annotations

from .architecture import Architecture, made
from .config import Config
from .parts import HALF, Attention, Heads, block, experts_of, gated


def deepseek(config: Config) -> Architecture:
    """Dense blocks first, then experts beside a shared network; DeepSeek-V2, V3 and Kimi-K2."""
    d, f = config.count("hidden_size"), config.count("moe_intermediate_size")
    own, heads = _attention(config, d)
    experts = config.count("n_routed_experts")
    active = config.count("num_experts_per_tok")
    shared = f * config.count("n_shared_experts", default=1, least=0)
    feed = experts_of(config, d, f, experts=experts, active=active, shared_f=shared)
    first = config.count("first_k_dense_replace", default=0, least=0)
    every = config.count("moe_layer_freq", default=1)
    dense, mixed = gated(d, config.count("intermediate_size")), feed
    blocks = tuple(
        block(own, mixed if b >= first and b % every == 0 else dense, 2 * d)
        for b in range(config.num_blocks())
    )
    return made(config, d, heads, f, blocks)


def _attention(config: Config, d: int) -> tuple[Attention, Heads]:
    """Queries by way of a short vector where there is one, keys and values always."""
    count = config.count("num_attention_heads")
    keys = config.count("num_key_value_heads", default=count)
    short, rope = config.count("kv_lora_rank"), config.count("qk_rope_head_dim")
    nope, value = config.count("qk_nope_head_dim"), config.count("v_head_dim")
    rank, width = config.optional("q_lora_rank"), nope + rope
    matrices = count * width * (rank or d) + (d * rank if rank else 0)
    matrices += d * (short + rope) + short * count * (nope + value) + count * value * d
    norms = short + (rank or 0)
    if config.flag("attention_bias", default=False):
        norms += (rank or 0) + short + rope + d
    expanded = count * (width + value) * HALF
    return Attention(
        matrices=matrices,
        vectors=norms,
        linears=5 if rank else 4,
        heads=count,
        cache_bytes=(short + rope) * HALF,
        wide_bytes=expanded,
        expanded_bytes=expanded,
    ), Heads(count=count, key_value=keys, width=width)
