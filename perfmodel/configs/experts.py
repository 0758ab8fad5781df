"""Mixtures of experts: memory holds all of them, a token visits a few."""

from __future__ import annotations

from .architecture import Architecture, made
from .config import Config
from .llama import late_windows
from .parts import Feed, Heads, attention, block, experts_of, gated, heads_of


def mixtral(config: Config) -> Architecture:
    """A router and like experts in every block."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads, window = heads_of(config, d), config.optional("sliding_window")
    feed = experts_of(config, d, f, **_routed(config, "num_local_experts"))
    one = block(attention(d, heads, window=window), feed, 2 * d)
    return made(config, d, heads, f, (one,) * config.num_blocks())


def qwen2_moe(config: Config) -> Architecture:
    """Biases on queries, keys, values; a network that all tokens meet, with a gate of its own."""
    d, f = config.count("hidden_size"), config.count("moe_intermediate_size")
    heads = heads_of(config, d)
    biases = heads.a + 2 * heads.k if config.flag("qkv_bias", default=True) else 0
    shared = config.count("shared_expert_intermediate_size")
    return _qwen(config, d, heads, biases, f, shared)


def qwen3_moe(config: Config) -> Architecture:
    """A norm of the head's width on queries and on keys; no shared network."""
    d, f = config.count("hidden_size"), config.count("moe_intermediate_size")
    heads = heads_of(config, d)
    biases = heads.a + 2 * heads.k + d if config.flag("attention_bias", default=False) else 0
    return _qwen(config, d, heads, biases + 2 * heads.width, f, 0)


def sparse(config: Config, blocks: int) -> list[bool]:
    """Which blocks of a Qwen have experts: every ``decoder_sparse_step``-th, but for some."""
    step = config.count("decoder_sparse_step", default=1)
    dense = config.rows("mlp_only_layers")
    return [b not in dense and (b + 1) % step == 0 for b in range(blocks)]


def with_gate(feed: Feed, d: int) -> Feed:
    """Experts beside a shared network whose part is weighed by a gate of one column."""
    return Feed(
        matrices=feed.matrices,
        vectors=feed.vectors + d,
        linears=feed.linears + 1,
        expert_matrices=feed.expert_matrices,
        experts=feed.experts,
        active=feed.active,
    )


def _qwen(
    config: Config, d: int, heads: Heads, vectors: int, f: int, shared_f: int
) -> Architecture:
    routed = experts_of(config, d, f, **_routed(config, "num_experts"), shared_f=shared_f)
    feed = with_gate(routed, d) if shared_f else routed
    windows = late_windows(config)
    mixed = sparse(config, len(windows))
    dense = feed if all(mixed) else gated(d, config.count("intermediate_size"))
    blocks = tuple(
        block(attention(d, heads, vectors, window), feed if mix else dense, 2 * d)
        for window, mix in zip(windows, mixed, strict=True)
    )
    return made(config, d, heads, f, blocks)


def glm4_moe(config: Config) -> Architecture:
    """Dense blocks first, then experts beside a shared network."""
    d, f = config.count("hidden_size"), config.count("moe_intermediate_size")
    heads = heads_of(config, d)
    vectors = heads.a + 2 * heads.k if config.flag("attention_bias", default=False) else 0
    vectors += 2 * heads.width if config.flag("use_qk_norm", default=False) else 0
    shared = f * config.count("n_shared_experts", default=1, least=0)
    feed = experts_of(config, d, f, **_routed(config, "n_routed_experts"), shared_f=shared)
    blocks = config.num_blocks()
    first = min(blocks, config.count("first_k_dense_replace", default=1, least=0))
    own = attention(d, heads, vectors)
    dense = gated(d, config.count("intermediate_size")) if first else feed
    each = (block(own, dense if b < first else feed, 2 * d) for b in range(blocks))
    return made(config, d, heads, f, tuple(each))


def minimax_m2(config: Config) -> Architecture:
    """A norm over all queries and one over all keys."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads = heads_of(config, d)
    vectors = heads.a + heads.k if config.flag("use_qk_norm", default=True) else 0
    feed = experts_of(config, d, f, **_routed(config, "num_local_experts"))
    one = block(attention(d, heads, vectors), feed, 2 * d)
    return made(config, d, heads, f, (one,) * config.num_blocks())


def phimoe(config: Config) -> Architecture:
    """Norms with biases, a bias on every matrix of attention and on the head."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads, window = heads_of(config, d), config.optional("sliding_window")
    biases = heads.a + 2 * heads.k + d if config.flag("attention_bias", default=False) else 0
    feed = experts_of(config, d, f, **_routed(config, "num_local_experts"))
    one = block(attention(d, heads, biases, window), feed, 4 * d)
    head = config.count("vocab_size") if config.flag("lm_head_bias", default=False) else 0
    return made(config, d, heads, f, (one,) * config.num_blocks(), norms=2 * d + head)


def dbrx(config: Config) -> Architecture:
    """Names of their own; norms without biases."""
    d, count = config.count("d_model", "hidden_size"), config.count("n_heads")
    inner, own = config.inner("ffn_config"), config.inner("attn_config")
    key_value = own.count("kv_n_heads", default=1)
    if d % count or count % key_value:
        raise config.defect("n_heads", f"is {count} for a width of {d} and {key_value} keys")
    heads = Heads(count=count, key_value=key_value, width=d // count)
    f = inner.count("ffn_hidden_size")
    routed = {"experts": inner.count("moe_num_experts"), "active": inner.count("moe_top_k")}
    one = block(attention(d, heads), experts_of(inner, d, f, **routed), 2 * d)
    return made(config, d, heads, f, (one,) * config.num_blocks())


def grok(config: Config) -> Architecture:
    """Four norms in a block."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads = heads_of(config, d)
    feed = experts_of(config, d, f, **_routed(config, "num_local_experts"))
    one = block(attention(d, heads), feed, 4 * d)
    return made(config, d, heads, f, (one,) * config.num_blocks(), tied=True)


def _routed(config: Config, name: str) -> dict[str, int]:
    active = config.count("num_experts_per_tok")
    return {"experts": config.count(name), "active": active}
