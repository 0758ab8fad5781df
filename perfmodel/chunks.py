"""Prompts that a server works on in chunks, beside the steps of others.

A chunk of n tokens takes what a prompt of n tokens takes, and attends to the tokens before it:
``W(n) + 2 a n q`` after a of them, q seconds per token squared. So all chunks of a prompt come to
its work in one piece and what a piece takes more than its share. docs/model.md 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.problem import Timing, per_block
from .timing import Timings, knots_of, least_row_s, prefill_s, step_s

#: Chunks of so many tokens are whole prompts.
WHOLE = int(np.iinfo(np.int64).max)


def pieces(tokens: int, chunk_tokens: IntArray) -> IntArray:
    """(n,) chunks of a prompt that is alone."""
    found: IntArray = -(-tokens // chunk_tokens)
    return found


def prompt_s(timings: Timings, tokens: float, chunk_tokens: IntArray | int) -> FloatArray:
    """(m,) seconds for one block to process a prompt of ``tokens`` that is alone, in chunks of at
    most so many, one number for all timings or (m,)."""
    chunks, whole_s = np.asarray(chunk_tokens), prefill_s(timings, tokens)
    for size in np.unique(chunks[chunks < tokens]).tolist():
        full, rest = divmod(tokens, size)
        cut_s = full * prefill_s(timings, size)
        if rest:
            cut_s = cut_s + prefill_s(timings, rest)
        beyond = tokens * tokens - full * size * size - rest * rest
        cut_s = cut_s + timings.prefill_per_token2_s * beyond
        whole_s = np.where(chunks == size, cut_s, whole_s)
    found: FloatArray = np.asarray(whole_s)
    return found


def least_prompt_s(timings: Timings, tokens: float, chunk_tokens: IntArray | int) -> FloatArray:
    """(m,) the least that a prompt takes one block, however it is cut for others' sake: a chunk
    takes no less than the line of prompts for each of its tokens, or any batch of steps."""
    chunks = np.asarray(chunk_tokens)
    line_s = timings.prefill_base_s / np.minimum(chunks, tokens) + timings.prefill_per_token_s
    curved = timings.each(lambda t: 1.0 if t.step_curve else 0.0) > 0
    least_s = np.where(curved, np.minimum(line_s, least_row_s(timings, 0.0)), line_s)
    found: FloatArray = np.where(chunks < WHOLE, tokens * least_s, prefill_s(timings, tokens))
    return found


def table_s(timing: Timing, most: int) -> FloatArray:
    """(most + 1,) seconds for one block to process a prompt of 0, 1 ... tokens."""
    tokens = np.arange(most + 1, dtype=np.float64)
    sloped = timing.prefill_per_token_s + timing.prefill_per_token2_s * tokens
    long_s = np.maximum(timing.prefill_floor_s, timing.prefill_base_s + sloped * tokens)
    if timing.step_curve:
        few, rows = tokens <= timing.step_curve[-1][0], knots_of((timing,))
        steps_s = float(step_s(timing, 0)) + np.interp(tokens, *rows)
        long_s = np.where(few, np.minimum(long_s, steps_s), long_s)
    found: FloatArray = np.where(tokens > 0, long_s, 0.0)
    return found


class ChunkTables:
    """What chunks take at every server, of its mean block.

    Attributes
    ----------
    row : (n,) of each server's kind in the tables.
    work_s : (kinds, most + 1) by tokens. square_s : (kinds,) for a pair of tokens.
    """

    def __init__(
        self,
        timings: Sequence[Timing | tuple[Timing, ...]],
        chunk_tokens: Sequence[int],
        num_blocks: int,
    ) -> None:
        kinds: dict[Any, int] = {}
        most = max(chunk_tokens, default=0)
        self.row = np.zeros(len(timings), dtype=np.int64)
        for j, (timing, chunk) in enumerate(zip(timings, chunk_tokens, strict=True)):
            if chunk:
                self.row[j] = kinds.setdefault(timing, len(kinds))
        self.work_s = np.zeros((len(kinds), most + 1))
        self.square_s = np.zeros(len(kinds))
        for timing, row in kinds.items():
            blocks = per_block(timing, num_blocks)
            alike = (timing,) if isinstance(timing, Timing) else blocks
            self.work_s[row] = np.mean([table_s(t, most) for t in alike], axis=0)
            self.square_s[row] = np.mean([t.prefill_per_token2_s for t in alike])
