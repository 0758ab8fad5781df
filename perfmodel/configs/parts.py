"""Attention and feed-forward networks, from which families make their blocks.

``d`` is the hidden size, ``a`` = heads x width of a head, ``k`` = key/value heads x width of a
head, ``f`` the inner width of a feed-forward network. Values of cache and state are 16 bit.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...core.blocks import Block
from .config import Config

#: Bytes of a value in the cache.
HALF = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """How attention is cut into heads."""

    count: int
    key_value: int
    width: int

    @property
    def a(self) -> int:
        """Width of all queries."""
        return self.count * self.width

    @property
    def k(self) -> int:
        """Width of all keys."""
        return self.key_value * self.width


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Weights and cache of attention; see ``Block``."""

    matrices: int
    vectors: int = 0
    linears: int = 4
    heads: int
    cache_bytes: int
    wide_bytes: int
    expanded_bytes: int | None = None
    window_tokens: int | None = None
    state_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Weights of a feed-forward network: what every token meets, and experts."""

    matrices: int
    vectors: int = 0
    linears: int = 3
    expert_matrices: int = 0
    expert_vectors: int = 0
    experts: int = 0
    active: int = 0


def heads_of(config: Config, d: int, *, own_keys: bool = False, width: int | None = None) -> Heads:
    """Heads by their usual names.

    Parameters
    ----------
    own_keys : a configuration that says nothing means one key/value head for each head.
    width : of a head where nothing is said; None = hidden size over heads.
    """
    count = config.count("num_attention_heads")
    key_value = config.count("num_key_value_heads", default=count if own_keys else None)
    if key_value > count or count % key_value:
        raise config.defect("num_key_value_heads", f"is {key_value} for {count} heads")
    if width is None and not config.has("head_dim"):
        if d % count:
            raise config.defect("hidden_size", f"is {d}, no multiple of {count} heads")
        width = d // count
    return Heads(count=count, key_value=key_value, width=config.count("head_dim", default=width))


def attention(
    d: int, heads: Heads, vectors: int = 0, window: int | None = None, *, linears: int = 4
) -> Attention:
    """Queries, keys, values and output."""
    return Attention(
        matrices=d * (heads.a + 2 * heads.k) + heads.a * d,
        vectors=vectors,
        linears=linears,
        heads=heads.count,
        cache_bytes=2 * heads.k * HALF,
        wide_bytes=2 * heads.a * HALF,
        window_tokens=window,
    )


def gated(d: int, f: int, vectors: int = 0) -> Feed:
    """A feed-forward network with a gate: three matrices."""
    return Feed(matrices=3 * d * f, vectors=vectors)


def experts_of(
    config: Config, d: int, f: int, *, experts: int, active: int, shared_f: int = 0
) -> Feed:
    """A router, experts of inner width f, and one network of ``shared_f`` that all tokens meet."""
    if active > experts:
        raise config.defect("num_experts_per_tok", f"is {active} of {experts} experts")
    return Feed(
        matrices=3 * d * shared_f,
        vectors=experts * d,
        linears=1 + (3 if shared_f else 0),
        expert_matrices=3 * d * f,
        experts=experts,
        active=active,
    )


def block(attention: Attention, feed: Feed, norms: int) -> Block:
    """A block of attention, a feed-forward network and norms with so many weights."""
    vectors = attention.vectors + feed.vectors + norms
    return Block(
        shared_parameters=attention.matrices + feed.matrices + vectors,
        expert_parameters=feed.expert_matrices + feed.expert_vectors,
        experts=feed.experts,
        active=feed.active,
        vector_parameters=vectors + feed.experts * feed.expert_vectors,
        linears=attention.linears + feed.linears,
        heads=attention.heads,
        cache_bytes=attention.cache_bytes,
        wide_bytes=attention.wide_bytes,
        expanded_bytes=attention.expanded_bytes,
        window_tokens=attention.window_tokens,
        state_bytes=attention.state_bytes,
    )
