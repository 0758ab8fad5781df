"""Speculative decoding in closed form: tokens of a pass, passes of an answer, the best number of
drafts.

A client's small model drafts k tokens, the swarm looks at all of them in one pass, and what agrees
is kept (docs/model.md 15). Draft i is right with probability ``a_i`` where all before it were; the
survival ``s_i = a_1 ... a_i`` is all that enters. Pure functions; what a pass takes is the business
of the cost model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.content import FloatArray
from ..core.drafting import MOST_DRAFTS
from ..core.names import Semantics


def survival(acceptance: Sequence[float], most: int = MOST_DRAFTS) -> FloatArray:
    """(most + 1,) probability that the first i drafts are right, s_0 = 1.

    Parameters
    ----------
    acceptance : a_1, a_2, ...; one value more is enough where all further ones are the same.
    """
    return np.concatenate(([1.0], np.cumprod(each_acceptance(acceptance, most))))


def each_acceptance(acceptance: Sequence[float], most: int) -> FloatArray:
    """(most,) a_1, a_2, ...: beyond those given all are as the last one."""
    each = np.full(most, acceptance[-1], dtype=np.float64)
    known = min(most, len(acceptance))
    each[:known] = acceptance[:known]
    return each


def positions(drafts: int, semantics: Semantics = "standard") -> int:
    """Positions of a pass with so many drafts: the last token goes with them.

    PETALS' own class judges as many drafts as it sends positions.
    """
    return drafts + 1 if semantics == "standard" else max(1, drafts)


def law(alive: FloatArray, drafts: int, semantics: Semantics = "standard") -> FloatArray:
    """(drafts + 2,) probability that a pass gives 0, 1, ... tokens.

    Standard: the drafts that are right and one token of the target's own. PETALS' class keeps the
    target's own token only where no draft was right.
    """
    found = np.zeros(drafts + 2)
    wrong = alive[:drafts] - alive[1 : drafts + 1]  # the first i are right, the next one is not
    if semantics == "standard":
        found[1 : drafts + 1], found[drafts + 1] = wrong, alive[drafts]
        return found
    found[1] = 1.0 if not drafts else wrong[0]
    if drafts:
        found[1:drafts] += wrong[1:]
        found[drafts] += alive[drafts]
    return found


def tokens_per_pass(alive: FloatArray, drafts: int, semantics: Semantics = "standard") -> float:
    """Expected tokens of a pass, E(k)."""
    if semantics == "standard":
        return float(alive[: drafts + 1].sum())
    return float(alive[1 : drafts + 1].sum() + (1.0 - alive[1])) if drafts else 1.0


def passes_needed(chances: FloatArray, tokens: int) -> FloatArray:
    """(tokens + 1,) expected passes until so many tokens are there, m_l.

    More than ``l / E``: the last pass makes more than are asked for.

    Parameters
    ----------
    chances : as of ``law``.
    """
    needed = np.zeros(tokens + 1)
    most = len(chances) - 1
    backwards = chances[:0:-1]  # of most, ..., 1 tokens
    for left in range(1, tokens + 1):
        before = needed[max(0, left - most) : left]
        needed[left] = 1.0 + float(backwards[most - len(before) :] @ before)
    return needed


def best_drafts(pass_s: Sequence[float], tokens: Sequence[float]) -> int:
    """k* = argmin of seconds per token, ``pass_s[k] / tokens[k]``; of equal ones the smallest."""
    return int(np.argmin(np.asarray(pass_s) / np.asarray(tokens)))


def two_deep_s(alive: FloatArray, drafts: int, verify_s: float, draft_s: float) -> float:
    """Seconds per token where the next drafts are made while these are looked at.

    What is drafted ahead is of use if all drafts are right and the token of the target's own was
    guessed too, so it takes one survival more than drafts.
    """
    ahead = float(alive[drafts + 1])
    work_s = drafts * draft_s
    whole_s = verify_s + (1.0 - ahead) * work_s + ahead * max(0.0, work_s - verify_s)
    return whole_s / tokens_per_pass(alive, drafts)


def stream_s(alpha: float, verify_s: float, draft_s: float) -> float:
    """Seconds per token of an endless stream, one drafted token in every message.

    Only while a draft takes at least as long as the slowest stage of the chain.
    """
    return draft_s + (1.0 - alpha) * verify_s
