"""What sessions keep of their tokens: the cache of runs of blocks, however long a session is.

A block keeps ``kv min(T, window) + state`` bytes of a session of T tokens (model.md section 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.content import IntArray
from ..core.problem import ModelSpec, per_block
from .runs import Rows, Runs

#: Sessions that are held together: how many of them, and the tokens of each.
Held = Sequence[tuple[int, int]]
#: More than any memory: a thousand times as much fits an integer.
MOST_BYTES = 2**53
#: Numbers of tokens whose runs are remembered.
MOST_REMEMBERED = 4_096
#: Tokens of a session that no runtime counts.
ENDLESS_TOKENS = 10**7


class Kept:
    """Cache of sessions on blocks; equal at all servers, so runs have one row.

    Attributes
    ----------
    length : blocks of the model, L.
    kinds : (bytes per token, window or None, bytes of state) of every kind of block.
    kind : (L,) which one each block is of.
    proportional : whether twice the tokens always take twice the bytes.
    alike : whether all blocks keep the same.
    """

    def __init__(self, model: ModelSpec) -> None:
        self.length = length = model.num_blocks
        figures = zip(
            per_block(model.cache_bytes_per_token, length),
            per_block(model.window_tokens, length),
            per_block(model.state_bytes, length),
            strict=True,
        )
        each = list(figures)
        row = {figure: i for i, figure in enumerate(dict.fromkeys(each))}
        self.kinds = tuple(row)
        self.kind: IntArray = np.array([row[figure] for figure in each], dtype=np.int64)
        self.proportional = all(not state and window is None for _, window, state in self.kinds)
        self.alike = len(self.kinds) == 1
        # A plain number where blocks are alike and nothing else counts: asked for most often.
        self._each = self.kinds[0][0] if self.alike and self.proportional else None
        self._known: dict[int, Runs] = {}
        self._ramps: dict[int, IntArray] = {}

    def bytes(self, tokens: Any, start: Rows, end: Rows) -> Any:
        """What one session of so many tokens keeps of blocks ``[start, end)``."""
        if self._each is not None:
            return tokens * (self._each * (end - start))
        return self.of(int(tokens))(0, start, end)

    def of(self, tokens: int) -> Runs:
        """(1,) runs of what one session of so many tokens keeps."""
        found = self._known.get(tokens)
        if found is None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            found = self._known[tokens] = self._runs([self._one(k, tokens) for k in self.kinds])
        return found

    def ramp(self, tokens: int) -> IntArray:
        """(L + 1,) what one session of so many tokens keeps of the first 0..L blocks."""
        found = self._ramps.get(tokens)
        if found is None:
            if len(self._ramps) >= MOST_REMEMBERED:
                self._ramps.clear()
            found = self._ramps[tokens] = self.of(tokens).ramp(0)
        return found

    def together(self, held: Held, most_bytes: int) -> Runs:
        """(1,) runs of what some sessions keep; of a block no more than just beyond ``most_bytes``,
        so that sums fit an integer."""
        limit = min(max(most_bytes, 0), MOST_BYTES) + 1
        totals = [
            min(limit, sum(count * self._one(kind, tokens) for count, tokens in held))
            for kind in self.kinds
        ]
        return self._runs(totals)

    def tokens(self, pool_bytes: int, start: int, end: int) -> int:
        """Tokens of one session for which there is room on blocks ``[start, end)``."""
        if self._each is not None:
            return pool_bytes // (self._each * (end - start))
        low, high = 0, ENDLESS_TOKENS + 1  # the answer is within [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            fits = int(self.bytes(middle, start, end)) <= pool_bytes
            low, high = (middle, high) if fits else (low, middle)
        return low

    @staticmethod
    def _one(kind: tuple[int, int | None, int], tokens: int) -> int:
        each, window, state = kind
        seen = tokens if window is None else min(tokens, window)
        return each * seen + (state if tokens else 0)

    def _runs(self, by_kind: list[int]) -> Runs:
        figures = np.array(by_kind, dtype=np.int64)
        if self.alike:
            return Runs(length=self.length, each=figures)
        return Runs.of(figures[self.kind][None, :], np.int64)
