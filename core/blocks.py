"""What a block of a transformer is made of, whatever it is quantised to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block as its kernels and its cache see it; bytes are those of 16-bit values.

    Attributes
    ----------
    shared_parameters, expert_parameters : weights that every token meets; of one expert (the
        feed-forward network of a dense block counts as shared).
    experts, active : experts, and how many a token visits; 0 for dense blocks.
    vector_parameters : of all weights those of norms, biases, routers and convolutions.
    linears, expert_linears : linear layers that every token meets; of one expert.
    heads : attention heads; 0 where nothing attends to single tokens.
    cache_bytes : what attention needs of one token: keys and values, or what stands for both.
    wide_bytes : keys and values of one token, repeated for every head.
    expanded_bytes : keys and values of one token where ``cache_bytes`` is less than them, else
        None.
    window_tokens : attention reaches so far back, None = to the first token.
    state_bytes : kept for a session whatever its length.
    """

    shared_parameters: int
    expert_parameters: int = 0
    experts: int = 0
    active: int = 0
    vector_parameters: int = 0
    linears: int = 7  # queries, keys, values, output, and the three of a gated network
    expert_linears: int = 3
    heads: int
    cache_bytes: float
    wide_bytes: float
    expanded_bytes: int | None = None
    window_tokens: int | None = None
    state_bytes: int = 0

    @property
    def parameters(self) -> int:
        """All weights: what memory has to hold."""
        return self.shared_parameters + self.experts * self.expert_parameters

    @property
    def active_parameters(self) -> int:
        """Weights that one token meets."""
        return self.shared_parameters + self.active * self.expert_parameters

    def visited(self, rows: float) -> float:
        """Experts that some of so many rows visit, each row any of them."""
        if not self.experts:
            return 0.0
        missed: float = (1.0 - self.active / self.experts) ** rows
        return self.experts * (1.0 - missed)

    def read(self, experts: float) -> float:
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
