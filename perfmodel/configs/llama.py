"""Dense models with a gated feed-forward network: Llama and its like."""

from __future__ import annotations

from .architecture import Architecture, made
from .config import Config
from .parts import attention, block, gated, heads_of


def llama(config: Config) -> Architecture:
    """Two norms of d; biases where the configuration says so."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads = heads_of(config, d, own_keys=True)
    biases = heads.a + 2 * heads.k + d if config.flag("attention_bias", default=False) else 0
    inner = 2 * f + d if config.flag("mlp_bias", default=False) else 0
    one = block(attention(d, heads, biases), gated(d, f, inner), 2 * d)
    return made(config, d, heads, f, (one,) * config.num_blocks())


def mistral(config: Config) -> Architecture:
    """As Llama without biases; all blocks attend to a window where there is one."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads, window = heads_of(config, d), config.optional("sliding_window")
    one = block(attention(d, heads, window=window), gated(d, f), 2 * d)
    return made(config, d, heads, f, (one,) * config.num_blocks())


def qwen2(config: Config) -> Architecture:
    """Biases on queries, keys and values; blocks from ``max_window_layers`` on may have windows."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads = heads_of(config, d)
    blocks = tuple(
        block(attention(d, heads, heads.a + 2 * heads.k, window), gated(d, f), 2 * d)
        for window in late_windows(config)
    )
    return made(config, d, heads, f, blocks)


def qwen3(config: Config) -> Architecture:
    """A norm of the head's width on queries and on keys."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads = heads_of(config, d, width=128)
    biases = heads.a + 2 * heads.k + d if config.flag("attention_bias", default=False) else 0
    blocks = tuple(
        block(attention(d, heads, biases + 2 * heads.width, window), gated(d, f), 2 * d)
        for window in late_windows(config)
    )
    return made(config, d, heads, f, blocks)


def olmo2(config: Config) -> Architecture:
    """A norm over all queries and one over all keys."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads = heads_of(config, d, own_keys=True)
    biases = heads.a + 2 * heads.k + d if config.flag("attention_bias", default=False) else 0
    one = block(attention(d, heads, biases + heads.a + heads.k), gated(d, f), 2 * d)
    return made(config, d, heads, f, (one,) * config.num_blocks())


def cohere(config: Config) -> Architecture:
    """One norm for both halves, and one for each head's queries and keys where it has them."""
    d, f = config.count("hidden_size"), config.count("intermediate_size")
    heads = heads_of(config, d, own_keys=True)
    vectors = heads.a + 2 * heads.k + d if config.flag("attention_bias", default=False) else 0
    vectors += heads.a + heads.k if config.flag("use_qk_norm", default=False) else 0
    one = block(attention(d, heads, vectors), gated(d, f), d)
    return made(config, d, heads, f, (one,) * config.num_blocks(), tied=True)


def late_windows(config: Config) -> tuple[int | None, ...]:
    """The window of every block of a Qwen: none, unless they are switched on."""
    blocks = config.num_blocks()
    if not config.flag("use_sliding_window", default=False):
        return (None,) * blocks
    window = config.count("sliding_window", default=4096)
    first = config.count("max_window_layers", default=28, least=0)
    usual = tuple("sliding_attention" if b >= first else "full_attention" for b in range(blocks))
    kinds = config.kinds_of_attention(usual)
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)
