"""BLOOM and Falcon: a feed-forward network of two matrices."""

from __future__ import annotations

from .architecture import Architecture, made
from .config import Config
from .parts import Feed, Heads, attention, block


def bloom(config: Config) -> Architecture:
    """A bias on every matrix, two norms with biases, one more around the embedding."""
    d = config.count("hidden_size", "n_embed")
    heads = _heads(config, d, config.count("num_attention_heads", "n_head"), None)
    f = config.count("n_inner", default=4 * d)
    own = attention(d, heads, heads.a + 2 * heads.k + d, linears=2)
    feed = Feed(matrices=2 * d * f, vectors=f + d, linears=2)
    one = block(own, feed, 4 * d)
    blocks = (one,) * config.num_blocks()
    return made(config, d, heads, f, blocks, norms=4 * d, tied=True, endless=True)


def falcon(config: Config) -> Architecture:
    """Heads share keys in groups, or one pair of key and value for all; norms with biases."""
    d = config.count("hidden_size")
    count = config.count("num_attention_heads", "n_head")
    new = config.flag("new_decoder_architecture", default=False)
    if new:
        keys = config.count("num_kv_heads", "n_head_kv", default=count)
    else:
        keys = 1 if config.flag("multi_query", default=True) else count
    heads = _heads(config, d, count, keys)
    f = config.count("ffn_hidden_size", default=4 * d)
    biased = config.flag("bias", default=False)
    own = attention(d, heads, heads.a + 2 * heads.k + d if biased else 0, linears=2)
    feed = Feed(matrices=2 * d * f, vectors=f + d if biased else 0, linears=2)
    parallel = new or config.flag("parallel_attn", default=True)
    norms = config.count("num_ln_in_parallel_attn", default=2 if new else 1) if parallel else 2
    one = block(own, feed, norms * 2 * d)
    blocks, far = (one,) * config.num_blocks(), config.flag("alibi", default=False)
    return made(config, d, heads, f, blocks, norms=2 * d, tied=True, endless=far)


def _heads(config: Config, d: int, count: int, keys: int | None) -> Heads:
    key_value = count if keys is None else keys
    if d % count or count % key_value:
        raise config.defect("num_attention_heads", f"is {count} for {d} and {key_value} keys")
    return Heads(count=count, key_value=key_value, width=d // count)
