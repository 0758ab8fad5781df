"""What was found is handed out only where fresh runs agree."""

from collections.abc import Callable

import numpy as np

from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.methods import guard
from swarmplan.methods.guard import Pair, holds
from swarmplan.methods.hurried import Patience
from swarmplan.methods.judge import Judge
from swarmplan.perfmodel.cost import CostModel

#: The fast server has the short span and the slow ones the long ones.
POOR = [(0, 1), (0, 3), (3, 6), (0, 0)]


class Told(Judge):
    """A judge whose responses are known beforehand: those of the pair that was asked for."""

    def __init__(self, new: np.ndarray, old: np.ndarray) -> None:
        self._told = {"new": new, "old": old}

    def response_s(
        self, placement: Placement, router: str, patience: Patience | None = None
    ) -> np.ndarray:
        return self._told[router]


def agreed(tiny: Problem, told: Callable[[int, int], Told]) -> bool:
    placement = CostModel.of(tiny).placed(POOR)
    new: Pair = placement, "new"
    return holds(new, (placement, "old"), judge_of=told)


def test_only_a_gain_that_fresh_runs_agree_on_holds(tiny: Problem) -> None:
    old = np.linspace(1.0, 2.0, 50)
    assert agreed(tiny, lambda number, count: Told(0.95 * old, old))
    assert not agreed(tiny, lambda number, count: Told(0.995 * old, old))  # too small
    doubtful = [1.2, 0.5, 1.2, 0.5, 1.2, 0.5, 1.2, 0.9, 0.9]
    assert not agreed(tiny, lambda number, count: Told(doubtful[number] * old, old))


def test_a_longer_tail_or_a_long_run_that_disagrees_refuses_it(tiny: Problem) -> None:
    old = np.linspace(1.0, 2.0, 50)
    tail = np.where(np.arange(50) < 45, 0.9 * old, 1.1 * old)
    assert not agreed(tiny, lambda number, count: Told(tail, old))
    last = guard.GUARDS

    def piles_up(number: int, count: int) -> Told:
        return Told((1.1 if number == last else 0.9) * old, old)

    assert not agreed(tiny, piles_up)


def test_a_plan_that_leaves_requests_unserved_does_not_hold(tiny: Problem) -> None:
    old = np.linspace(1.0, 2.0, 50)
    some = 0.5 * old
    some[20] = np.nan
    assert not agreed(tiny, lambda number, count: Told(some, old))
