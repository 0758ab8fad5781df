"""A placement with a router: what its runs take, and whether it does better than another one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..core.content import FloatArray
from ..core.objective import Goal
from ..core.plan import Placement
from ..simulator.metrics import WARM_UP, Interval
from .judge import REHEARSED, Judge, figure_of
from .race import Runner, behind

#: What a request takes to simulate: seconds, and so many times as long as in a compiled run, which
#: takes about ``COMPILED_S`` where it is not known.
COSTS, USUAL_COST, COMPILED_S = {REHEARSED[0]: (0.0, 1.0), "joint": (6e-4, 14.0)}, (2e-4, 3.0), 1e-4
#: Blocks of requests, one after the other, that tell how sure a gain is, and the fewest requests of
#: one: about twice what is in flight, since neighbours that are answered at once fare alike.
BLOCKS, LEAST = 10, 36


@dataclass(slots=True, eq=False)
class Pair:
    """A runner, and how it does in the rounds (mutable: their record).

    Attributes
    ----------
    request_s : what a request takes to simulate on a quiet machine, about.
    raced : whether it was in the race, and left it after few requests.
    response_s : of the requests of its last round.
    """

    runner: Runner
    request_s: float
    raced: bool = False
    response_s: FloatArray = field(default_factory=lambda: np.zeros(0))


def compiled_s(judge: Judge, placement: Placement) -> float:
    """What a request takes in a compiled run on a quiet machine, about: known without a clock."""
    rehearsal = judge.rehearsal
    return COMPILED_S if rehearsal is None else rehearsal(placement).effort_s / rehearsal.count


def request_s(router: str, compiled_s: float) -> float:
    """The same with any router."""
    fixed_s, times = COSTS.get(router, USUAL_COST)
    return fixed_s + times * compiled_s


def verdict(runner: Runner, known: Runner) -> str:
    """What is said of a pair that does not come first."""
    if not runner.served:
        return f"given up: requests pile up or decisions take long, of {runner.requests}"
    if runner.order() < known.order():
        return f"not surely faster over {runner.requests} requests"
    return behind(runner, known)


def surely(new: Pair, old: Pair, goal: Goal, sure: float) -> bool:
    """Whether a pair did better than another one on the same requests, likely not by chance: by so
    many half-widths of the interval."""
    if new.runner.unserved != old.runner.unserved:
        return new.runner.unserved < old.runner.unserved
    found = gain(new, old, goal)
    return new.runner.figure_s < old.runner.figure_s and found.mean > sure * found.half_width


def gain(new: Pair, old: Pair, goal: Goal) -> Interval:
    """By which share a pair's figure is lower, over blocks of the requests of the last round."""
    counted = [p.response_s[int(len(p.response_s) * WARM_UP) :] for p in (new, old)]
    blocks = max(2, min(BLOCKS, len(counted[0]) // LEAST))
    ours, theirs = (np.array_split(response_s, blocks) for response_s in counted)
    gains = [
        1.0 - figure_of(n, goal) / figure_of(o, goal) for n, o in zip(ours, theirs, strict=True)
    ]
    return Interval.of(gains)
