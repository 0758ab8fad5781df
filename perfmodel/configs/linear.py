"""Linear attention: a state of one size instead of a cache that grows."""

from __future__ import annotations

from .architecture import Architecture, made
from .config import Config
from .experts import sparse, with_gate
from .parts import HALF, Attention, Heads, block, experts_of, gated, heads_of

#: The recurrent state is kept in 32 bits.
SINGLE = 4


def qwen3_next(config: Config) -> Architecture:
    """Three of four blocks keep a state; the fourth has gated attention; experts everywhere."""
    d, f = config.count("hidden_size"), config.count("moe_intermediate_size")
    heads = heads_of(config, d, width=256)
    experts, active = config.count("num_experts"), config.count("num_experts_per_tok")
    shared = config.count("shared_expert_intermediate_size")
    routed = experts_of(config, d, f, experts=experts, active=active, shared_f=shared)
    feed, blocks = with_gate(routed, d), config.num_blocks()
    mixed = sparse(config, blocks)
    dense = feed if all(mixed) else gated(d, config.count("intermediate_size"))
    every = config.count("full_attention_interval", default=4)
    usual = tuple(
        "full_attention" if (b + 1) % every == 0 else "linear_attention" for b in range(blocks)
    )
    own = {"full_attention": _gated(d, heads), "linear_attention": _linear(config, d)}
    kinds = config.kinds_of_attention(usual)
    if not set(kinds) <= set(own):
        raise config.defect("layer_types", "has kinds that this family does not know")
    made_of = tuple(
        block(own[kind], feed if mix else dense, 2 * d)
        for kind, mix in zip(kinds, mixed, strict=True)
    )
    return made(config, d, heads, f, made_of)


def _gated(d: int, heads: Heads) -> Attention:
    """Attention whose output is gated: queries are twice as wide; norms on queries and keys."""
    return Attention(
        matrices=d * (2 * heads.a + 2 * heads.k) + heads.a * d,
        vectors=2 * heads.width,
        heads=heads.count,
        cache_bytes=2 * heads.k * HALF,
        wide_bytes=2 * heads.a * HALF,
    )


def _linear(config: Config, d: int) -> Attention:
    """The gated delta rule: a state of keys x values for each head, and that of a convolution."""
    keys, values = config.count("linear_num_key_heads"), config.count("linear_num_value_heads")
    width, height = config.count("linear_key_head_dim"), config.count("linear_value_head_dim")
    taps = config.count("linear_conv_kernel_dim", default=4)
    mixed = 2 * keys * width + values * height
    state = values * width * height * SINGLE + mixed * taps * HALF
    return Attention(
        matrices=d * (mixed + values * height) + d * 2 * values + values * height * d,
        vectors=mixed * taps + 2 * values + height,
        linears=3,
        heads=0,
        cache_bytes=0,
        wide_bytes=0,
        state_bytes=state,
    )
