"""What a configuration says of a model as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.blocks import Block
from .config import Config
from .parts import Heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A model by its configuration.

    Attributes
    ----------
    family : its ``model_type``.
    blocks : each of them, in order.
    inner_size : width of a dense feed-forward network, or of an expert.
    embedding_parameters, head_parameters, outer_parameters : beside the blocks: of the embedding,
        of an output head of its own (0 = it shares the embedding), of norms and biases.
    context_tokens : the longest session that it was trained for; None = not said, or distances
        between tokens are biases (ALiBi), which hold for longer ones too.
    """

    family: str
    hidden_size: int
    heads: Heads
    inner_size: int
    vocabulary: int
    blocks: tuple[Block, ...]
    embedding_parameters: int
    head_parameters: int
    outer_parameters: int
    context_tokens: int | None = None

    @property
    def num_blocks(self) -> int:
        """Blocks of the model."""
        return len(self.blocks)

    @property
    def grouped_query(self) -> bool:
        """Whether heads share keys and values."""
        return self.heads.key_value < self.heads.count

    @property
    def block(self) -> Block:
        """The kind of block of which there are most; the first of them where kinds tie."""
        kinds = list(dict.fromkeys(self.blocks))
        return max(kinds, key=self.blocks.count)

    @property
    def total_parameters(self) -> int:
        """Weights of the whole checkpoint: blocks, embedding, head, outer norms."""
        outer = self.embedding_parameters + self.head_parameters + self.outer_parameters
        return outer + sum(b.parameters for b in self.blocks)

    @property
    def active_parameters(self) -> int:
        """The same of what one token meets."""
        outer = self.embedding_parameters + self.head_parameters + self.outer_parameters
        return outer + sum(b.active_parameters for b in self.blocks)


def made(
    config: Config,
    d: int,
    heads: Heads,
    inner: int,
    blocks: tuple[Block, ...],
    *,
    norms: int | None = None,
    tied: bool = False,
    endless: bool = False,
) -> Architecture:
    """A model of blocks.

    Parameters
    ----------
    norms : outer weights; None = one norm of the hidden size.
    tied : whether the head shares the embedding where nothing is said.
    endless : whether sessions may be longer than those that it was trained for.
    """
    vocabulary = config.count("vocab_size")
    shares = config.flag("tie_word_embeddings", default=tied)
    names = ("max_position_embeddings", "max_seq_len", "seq_length", "max_sequence_length")
    context = next((config.optional(name) for name in names if config.has(name)), None)
    return Architecture(
        family=config.word("model_type"),
        hidden_size=d,
        heads=heads,
        inner_size=inner,
        vocabulary=vocabulary,
        blocks=blocks,
        embedding_parameters=vocabulary * d,
        head_parameters=0 if shares else vocabulary * d,
        outer_parameters=d if norms is None else norms,
        context_tokens=None if endless else context,
    )
