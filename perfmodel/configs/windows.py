"""Models some of whose blocks attend to a window, or to a chunk, of the latest tokens."""

from __future__ import annotations

from .architecture import Architecture, made
from .config import Config
from .parts import Attention, Feed, Heads, attention, block, experts_of, gated, heads_of


def gpt_oss(config: Config) -> Architecture:
    """Biases everywhere, a sink for each head; every other block attends to a window."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads = heads_of(config, d, width=64)
    experts = config.count("num_local_experts")
    active = config.count("num_experts_per_tok", "experts_per_token")
    routed = experts_of(config, d, f, experts=experts, active=active)
    feed = Feed(
        matrices=routed.matrices,
        vectors=routed.vectors + experts,
        linears=routed.linears,
        expert_matrices=routed.expert_matrices,
        expert_vectors=2 * f + d,
        experts=experts,
        active=active,
    )
    biased = config.flag("attention_bias", default=True)
    vectors = heads.count + (heads.a + 2 * heads.k + d if biased else 0)
    kinds = _every(config, 2)
    window = config.count("sliding_window", default=128)
    blocks = tuple(block(_seen(d, heads, vectors, window, k), feed, 2 * d) for k in kinds)
    return made(config, d, heads, f, blocks)


def gemma2(config: Config) -> Architecture:
    """Four norms; every other block attends to a window."""
    return _gemma(config, every=2, window=4096, head_norms=False)


def gemma3(config: Config) -> Architecture:
    """Four norms, and one for the heads' queries and keys; five of six blocks have windows."""
    every = config.count("sliding_window_pattern", "_sliding_window_pattern", default=6)
    return _gemma(config, every=every, window=4096, head_norms=True)


def _gemma(config: Config, *, every: int, window: int, head_norms: bool) -> Architecture:
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads = heads_of(config, d, width=256)
    biases = heads.a + 2 * heads.k + d if config.flag("attention_bias", default=False) else 0
    vectors = biases + (2 * heads.width if head_norms else 0)
    window = config.count("sliding_window", default=window)
    blocks = tuple(
        block(_seen(d, heads, vectors, window, kind), gated(d, f), 4 * d)
        for kind in _every(config, every)
    )
    return made(config, d, heads, f, blocks, tied=True)


def llama4(config: Config) -> Architecture:
    """Three of four blocks attend to a chunk; every ``interleave_moe_layer_step``-th has experts
    beside a shared network."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads = heads_of(config, d)
    biases = heads.a + 2 * heads.k + d if config.flag("attention_bias", default=False) else 0
    experts = config.count("num_local_experts")
    active = config.count("num_experts_per_tok", default=1)
    mixed = experts_of(config, d, f, experts=experts, active=active, shared_f=f)
    chunk = config.count("attention_chunk_size", default=8192)
    kinds = _every(config, config.count("no_rope_layer_interval", default=4))
    step = config.count("interleave_moe_layer_step", default=1)
    routed = config.rows("moe_layers") or {b for b in range(len(kinds)) if (b + 1) % step == 0}
    dense = mixed
    if len(routed & set(range(len(kinds)))) < len(kinds):
        dense = gated(d, config.count("intermediate_size_mlp"))
    blocks = tuple(
        block(_seen(d, heads, biases, chunk, kind), mixed if b in routed else dense, 2 * d)
        for b, kind in enumerate(kinds)
    )
    return made(config, d, heads, f, blocks)


def _every(config: Config, every: int) -> tuple[str, ...]:
    """Windows, but for every so many-th block."""
    usual = tuple(
        "full_attention" if (b + 1) % every == 0 else "sliding_attention"
        for b in range(config.num_blocks())
    )
    return config.kinds_of_attention(usual)


def _seen(d: int, heads: Heads, vectors: int, window: int, kind: str) -> Attention:
    return attention(d, heads, vectors, None if kind == "full_attention" else window)
