"""Whether what was found on some requests holds for fresh ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..core.content import FloatArray
from ..core.objective import MEAN_RESPONSE, P95_RESPONSE, Goal
from ..core.plan import Placement
from ..simulator.metrics import Interval
from .judge import Judge, judged

#: Fresh runs that have to agree and their requests, the gain that they have to show, and requests
#: of a last long run.
GUARDS, GUARD_REQUESTS, LEAST_GAIN, LONG = 8, 400, 0.01, 2_000

#: A placement with a router.
Pair = tuple[Placement, str]


def holds(new: Pair, old: Pair, *, judge_of: Callable[[int, int], Judge], more: int = 1) -> bool:
    """Whether fresh requests agree that a pair is better than another one.

    Its mean response is more than 1 % lower, beyond doubt at 95 %, over several paired runs; its
    tail is not longer; and a long run agrees.

    Parameters
    ----------
    judge_of : by (number of the run, requests).
    more : multiple of the usual number of requests.
    """
    compared = _compared(new, old, judge_of, more)
    if compared is None:
        return False
    gains, tails = compared
    gain = Interval.of(gains)
    if gain.mean < LEAST_GAIN or gain.mean - gain.half_width <= 0 or np.mean(tails) < 0:
        return False
    judge = judge_of(GUARDS, more * LONG)
    return _gain(judge.response_s(*new), judge.response_s(*old), MEAN_RESPONSE) > 0


def is_faster(
    new: Pair, old: Pair, *, judge_of: Callable[[int, int], Judge], more: int = 1
) -> bool:
    """Whether a pair's mean response is lower over the same paired runs, by however little."""
    compared = _compared(new, old, judge_of, more)
    return compared is not None and float(np.mean(compared[0])) > 0


def _compared(
    new: Pair, old: Pair, judge_of: Callable[[int, int], Judge], more: int
) -> tuple[list[float], list[float]] | None:
    """By which shares mean and tail are lower, run by run; None where requests are not served."""
    gains, tails = [], []
    for number in range(GUARDS):
        judge = judge_of(number, more * GUARD_REQUESTS)
        ours, theirs = judge.response_s(*new), judge.response_s(*old)
        if judged(ours, MEAN_RESPONSE).unserved:
            return None
        gains.append(_gain(ours, theirs, MEAN_RESPONSE))
        tails.append(_gain(ours, theirs, P95_RESPONSE))
    return gains, tails


def _gain(ours: FloatArray, theirs: FloatArray, goal: Goal) -> float:
    return 1.0 - judged(ours, goal).figure_s / judged(theirs, goal).figure_s
