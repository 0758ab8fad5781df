"""What a block's configuration means for its kernels: weights, launches, attention."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.problem import ModelSpec
from .catalogue import MIXTURES, block_parameters, shipped_architecture

#: Width of a head of a model that is in no catalogue.
TYPICAL_HEAD = 128
#: Queries, keys, values, output, and the three of a gated feed-forward network.
DENSE_LINEARS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One block as its kernels see it.

    Attributes
    ----------
    shared_parameters, expert_parameters : weights that every token meets; of one expert (the
        feed-forward network of a dense block counts as shared).
    experts, active : experts, and how many a token visits; 0 for dense blocks.
    linears, expert_linears : linear layers that every token meets; of one expert.
    heads : attention heads.
    cache_bytes : keys and values of one token.
    wide_bytes : the same repeated for every head; equal where no heads share keys.
    """

    shared_parameters: int
    expert_parameters: int = 0
    experts: int = 0
    active: int = 0
    linears: int = DENSE_LINEARS
    expert_linears: int = 3
    heads: int
    cache_bytes: float
    wide_bytes: float

    def visited(self, rows: float) -> float:
        """Experts that some of so many rows visit, each row any of them."""
        if not self.experts:
            return 0.0
        missed: float = (1.0 - self.active / self.experts) ** rows
        return self.experts * (1.0 - missed)

    def parameters(self, experts: float) -> float:
        """Weights that are read when so many experts are visited."""
        return self.shared_parameters + experts * self.expert_parameters

    @property
    def attention_bytes(self) -> float:
        """Bytes that eager attention moves for each token in the cache.

        The cache is copied to append the new key, and read; where heads share keys they are copied
        out for every head first.
        """
        if self.wide_bytes > self.cache_bytes:
            return 3 * self.cache_bytes + 2 * self.wide_bytes
        return 3 * self.cache_bytes


def shape_of(model: ModelSpec) -> Shape:
    """The shape of a model's blocks: of a catalogued one exact, else that of a dense Llama."""
    cache = model.mean_cache_bytes_per_token
    known = shipped_architecture(model.name)
    if known is None:
        heads = max(1, model.hidden_size // TYPICAL_HEAD)
        return Shape(
            shared_parameters=block_parameters(model),
            heads=heads,
            cache_bytes=cache,
            wide_bytes=max(cache, 4.0 * model.hidden_size),
        )
    mixture = known.family in MIXTURES
    inside = known.experts * known.expert_parameters if mixture else 0
    matrices = 4 if known.family in ("bloom", "falcon") else DENSE_LINEARS
    return Shape(
        shared_parameters=known.block_parameters - inside,
        expert_parameters=known.expert_parameters if mixture else 0,
        experts=known.experts if mixture else 0,
        active=known.active_experts if mixture else 0,
        linears=5 if mixture else matrices,  # queries, keys, values, output; the router
        heads=known.heads,
        cache_bytes=cache,
        wide_bytes=4.0 * known.heads * known.head_size,
    )
