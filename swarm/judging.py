"""Which drafts of a pass are kept, and the target's own token after them. numpy alone.

Greedy: drafts are right as long as they are what the target takes itself. Sampled: by rejection, so
that what comes out is distributed as if the target alone had been asked, whatever the draft model
thinks (Leviathan et al., arXiv 2211.17192, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.content import FloatArray


def judge_greedy(own: Sequence[int], drafts: Sequence[int]) -> tuple[int, int]:
    """Drafts that are right, and the token after them.

    Parameters
    ----------
    own : (k + 1) tokens that the target takes after 0, 1, ... k drafts.
    """
    right = 0
    while right < len(drafts) and drafts[right] == own[right]:
        right += 1
    return right, own[right]


def judge_sampled(
    target: FloatArray, guessed: FloatArray, drafts: Sequence[int], luck: FloatArray
) -> tuple[int, int]:
    """The same for tokens that were drawn.

    Parameters
    ----------
    target : (k + 1, V) probabilities of the target after 0, 1, ... k drafts.
    guessed : (k, V) probabilities that the drafts were drawn from.
    luck : (k + 1,) uniform draws from [0, 1); the last one draws the token.
    """
    for i, token in enumerate(drafts):
        if luck[i] * guessed[i, token] >= target[i, token]:
            return i, drawn(np.maximum(target[i] - guessed[i], 0.0), target[i], luck[-1])
    return len(drafts), drawn(target[-1], target[-1], luck[-1])


def drawn(weights: FloatArray, instead: FloatArray, luck: float) -> int:
    """A token by weights, by others where they are none; never one without weight."""
    sums = np.cumsum(weights if weights.any() else instead, dtype=np.float64)
    at = int(np.searchsorted(sums, luck * sums[-1], side="right"))
    return min(at, int(np.searchsorted(sums, sums[-1], side="left")))
