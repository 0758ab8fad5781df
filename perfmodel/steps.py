"""The work of a step on a run of blocks as its context grows.

A block takes ``max(floor, base + slope min(context, window))``. Where all blocks of a server are
alike, so does a run of them with the sums of these figures; where they differ, it is a sum of such
terms, one for each kind of block.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.content import FloatArray, IntArray, frozen_array
from ..core.problem import Timing, per_block

#: Columns of a term.
FLOOR, BASE, SLOPE, WINDOW = range(4)


class Steps:
    """Terms of every server: the first kind of block without a window, and the others.

    Attributes
    ----------
    windowed : whether some block attends to a window.
    floor_s, base_s, slope_s : (n,) of a block where all blocks of every server are alike.
    """

    def __init__(self, kinds: list[list[Timing]], counts: list[IntArray | None]) -> None:
        self._kinds, self._counts = kinds, counts
        self.windowed = any(np.isfinite(t.window_tokens) for own in kinds for t in own)
        first = [own[0] for own in kinds]
        self.floor_s = frozen_array([t.decode_floor_s for t in first], np.float64)
        self.base_s = frozen_array([t.decode_base_s for t in first], np.float64)
        self.slope_s = frozen_array([t.decode_per_context_token_s for t in first], np.float64)
        self.most_parts = max((len(own) - 1 for own in kinds), default=0)

    @classmethod
    def of(cls, timings: Sequence[Timing | tuple[Timing, ...]], length: int) -> Steps:
        """The terms of servers with so many blocks."""
        known: dict[Timing | tuple[Timing, ...], tuple[list[Timing], IntArray | None]] = {}
        for timing in timings:
            if timing not in known:
                known[timing] = _kinds(timing, length)
        found = [known[timing] for timing in timings]
        return cls([kinds for kinds, _ in found], [counts for _, counts in found])

    def growing(
        self, server: IntArray, start: IntArray, end: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Terms of runs of blocks ``[start, end)`` at servers.

        Returns
        -------
        (H, 3) floor, base and slope of the part that attends to all of its context, and (H, P, 4)
        the same, and the window, of what is beside it; rows without one are 0.
        """
        own, parts = np.zeros((len(server), 3)), np.zeros((len(server), self.most_parts, 4))
        if not self.most_parts:
            each = np.stack([self.floor_s[server], self.base_s[server], self.slope_s[server]], 1)
            return each * (end - start)[:, None], parts
        for h, j in enumerate(server.tolist()):
            counts = self._counts[j]
            for k, timing in enumerate(self._kinds[j]):
                run = (start[h], end[h]) if counts is None else counts[k, [start[h], end[h]]]
                blocks = run[1] - run[0]
                figures = timing.decode_floor_s, timing.decode_base_s
                term = *figures, timing.decode_per_context_token_s
                if k:
                    parts[h, k - 1, :3] = np.multiply(term, blocks)
                    parts[h, k - 1, WINDOW] = timing.window_tokens
                else:
                    own[h] = np.multiply(term, blocks)
        return own, parts


def _kinds(
    timing: Timing | tuple[Timing, ...], length: int
) -> tuple[list[Timing], IntArray | None]:
    """Kinds of blocks, the first one without a window, and (kinds, L + 1) how many of each there
    are among the first 0..L blocks, None where all are of the one kind."""
    each = per_block(timing, length)
    kinds = sorted(dict.fromkeys(each), key=lambda t: t.window_tokens < np.inf)
    if kinds[0].window_tokens < np.inf:
        kinds = [Timing(decode_base_s=0.0), *kinds]
    if len(kinds) == 1:
        return kinds, None
    counts = np.zeros((len(kinds), length + 1), dtype=np.int64)
    for k, kind in enumerate(kinds):
        counts[k, 1:] = np.cumsum([t == kind for t in each])
    return kinds, counts
