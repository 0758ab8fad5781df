"""Improving a plan: what comes out is no worse, and is handed out only where fresh runs agree."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from swarmplan.chains.capacity import most_planned_per_s
from swarmplan.chains.soundness import unmet
from swarmplan.core.constraints import Constraints, ServerSpan
from swarmplan.core.objective import MEAN_RESPONSE
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.methods import improve
from swarmplan.methods.improve import Improvement, Improver, Pair, holds, requests_needed
from swarmplan.methods.judge import Judge
from swarmplan.perfmodel.cost import CostModel
from swarmplan.simulator.rehearsal import Rehearsal
from swarmplan.solve.deadline import NEVER, Deadline
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load

#: The fast server has the short span and the slow ones the long ones.
POOR = [(0, 1), (0, 3), (3, 6), (0, 0)]


def improved(problem: Problem, *, deadline: Deadline = NEVER, seed: int = 0) -> Improvement:
    cost = CostModel.of(problem)
    sets = [
        Rehearsal(cost, draw_requests(at_load(problem, f), 7, num_requests=60)) for f in (1.1, 0.9)
    ]
    improver = Improver(cost, sets, goal=MEAN_RESPONSE, deadline=deadline, seed=seed)
    return improver(cost.placed(POOR))


def mean_s(problem: Problem, placement: Placement) -> float:
    requests = draw_requests(problem, 99, num_requests=200)
    return float(np.mean(Rehearsal(CostModel.of(problem), requests)(placement).response_s))


def test_a_poor_plan_gets_better(tiny: Problem) -> None:
    found = improved(tiny)
    cost = CostModel.of(tiny)
    assert mean_s(tiny, found.placement) < 0.8 * mean_s(tiny, cost.placed(POOR))
    assert found.judged > 50


def test_equal_seeds_give_equal_plans(tiny: Problem) -> None:
    assert improved(tiny, seed=3) == improved(tiny, seed=3)


def test_without_time_the_plan_stays_as_it_is(tiny: Problem) -> None:
    found = improved(tiny, deadline=Deadline.after(0.0))
    assert found.placement == CostModel.of(tiny).placed(POOR)
    assert found.judged == 0


def test_a_plan_that_does_not_serve_everybody_is_not_touched(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    sets = [Rehearsal(cost, draw_requests(tiny, 7, num_requests=30))]
    start = cost.placed([(0, 3), (0, 3), (0, 0), (0, 0)])
    improver = Improver(cost, sets, goal=MEAN_RESPONSE, deadline=NEVER, seed=0)
    assert improver(start) == Improvement(placement=start, judged=0)


def test_what_a_scenario_demands_is_kept(tiny: Problem) -> None:
    pinned = (ServerSpan(server=1, start=0, end=3),)
    asked = replace(tiny, planning=replace(tiny.planning, constraints=Constraints(pinned=pinned)))
    found = improved(asked).placement
    assert (found.start[1], found.end[1]) == (0, 3)
    assert found != CostModel.of(asked).placed(POOR)
    assert not any(unmet(CostModel.of(asked), found))


def test_near_what_all_servers_compute_more_requests_are_needed(tiny: Problem) -> None:
    most = most_planned_per_s(CostModel.of(tiny))

    def at(share: float) -> int:
        loaded = at_load(tiny, share * most / tiny.workload.rate_per_s)
        return requests_needed(CostModel.of(loaded))

    assert at(0.80) == 1 < at(0.90)


class Told(Judge):
    """A judge whose responses are known beforehand: those of the pair that was asked for."""

    def __init__(self, new: np.ndarray, old: np.ndarray) -> None:
        self._told = {"new": new, "old": old}

    def response_s(self, placement: Placement, router: str) -> np.ndarray:
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
    last = improve.GUARDS

    def piles_up(number: int, count: int) -> Told:
        return Told((1.1 if number == last else 0.9) * old, old)

    assert not agreed(tiny, piles_up)


def test_a_plan_that_leaves_requests_unserved_does_not_hold(tiny: Problem) -> None:
    old = np.linspace(1.0, 2.0, 50)
    some = 0.5 * old
    some[20] = np.nan
    assert not agreed(tiny, lambda number, count: Told(some, old))


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_a_seed_of_the_search_is_none_of_a_report(tiny: Problem, share: float) -> None:
    loaded = at_load(tiny, share)
    searched = draw_requests(loaded, 8_765_432, num_requests=20)
    assert all(draw_requests(loaded, seed, num_requests=20) != searched for seed in range(50))
