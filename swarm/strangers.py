"""Sessions of strangers, from the waits that nothing else explains. Plain Python, no hivemind."""

from __future__ import annotations

import math

from ..perfmodel.contention import Pace
from .hops import Sample

#: Share of a hop's time that is the noise of machines and of the estimate, no stranger's.
NOISE = 0.15
#: Strangers at one server: one who waits longer than for so many has learnt enough.
MOST_STRANGERS = 16


def unexplained_s(mean: Sample) -> float:
    """Of a wait what neither those who are known to be there nor noise explains."""
    noise_s = NOISE * (mean.alone_s + mean.explained_s)
    return max(0.0, mean.wait_s - mean.explained_s - noise_s)


def strangers(wait_s: float, work_s: float, steps: float, now_s: float) -> tuple[int, Pace]:
    """How many alike sessions, with how long a step, make somebody else wait so long.

    The use U of a server at which one waits D, all steps being of work w, solves
    ``D = U w / 2 + D U``; nobody waits for more than one step of everybody, so they are at least
    D / w (docs/model.md 3.2).
    """
    if wait_s <= 0.0 or work_s <= 0.0:
        return 0, Pace(alone_s=0.0, work_s=[0.0], steps=0.0)
    wait_s = min(wait_s, MOST_STRANGERS * work_s)
    use = wait_s / (wait_s + work_s / 2)
    count = math.ceil(wait_s / work_s - 1e-9)
    others = use * (count - 1) / count
    own_wait_s = min(others * work_s / 2 / (1.0 - others), (count - 1) * work_s)
    step_s = count * work_s / use
    pace = Pace(
        alone_s=step_s - own_wait_s, waits_s=own_wait_s, work_s=[work_s], steps=steps, from_s=now_s
    )
    return count, pace
