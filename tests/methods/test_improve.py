"""Improving a plan: what comes out is no worse, and is handed out only where fresh runs agree."""

import math
from dataclasses import replace

import numpy as np
import pytest

from swarmplan.chains.soundness import unmet
from swarmplan.core.constraints import Constraints, ServerSpan
from swarmplan.core.objective import MEAN_RESPONSE
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.methods import improve
from swarmplan.methods.improve import Improvement, Improver, begun_with
from swarmplan.perfmodel.cost import CostModel
from swarmplan.simulator.rehearsal import Rehearsal
from swarmplan.solve.deadline import NEVER, Deadline
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load

#: The fast server has the short span and the slow ones the long ones.
POOR = [(0, 1), (0, 3), (3, 6), (0, 0)]


def improved(
    problem: Problem,
    *,
    work_s: float = math.inf,
    deadline: Deadline = NEVER,
    seed: int = 0,
) -> Improvement:
    cost = CostModel.of(problem)
    sets = [
        Rehearsal(cost, draw_requests(at_load(problem, f), 7, num_requests=60)) for f in (1.1, 0.9)
    ]
    improver = Improver(cost, sets, goal=MEAN_RESPONSE, work_s=work_s, deadline=deadline, seed=seed)
    return improver([cost.placed(POOR)])


def mean_s(problem: Problem, placement: Placement) -> float:
    requests = draw_requests(problem, 99, num_requests=200)
    return float(np.mean(Rehearsal(CostModel.of(problem), requests)(placement).response_s))


def test_a_poor_plan_gets_better(tiny: Problem) -> None:
    found = improved(tiny)
    cost = CostModel.of(tiny)
    assert mean_s(tiny, found.placements[0]) < 0.8 * mean_s(tiny, cost.placed(POOR))
    assert found.judged > 20


def test_a_better_plan_to_begin_with_is_not_lost(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    better = improved(tiny).placements[0]
    monkeypatch.setattr(improve, "ROUND_MOVES", 2)  # too few to get there from the poor plan
    cost = CostModel.of(tiny)
    sets = [Rehearsal(cost, draw_requests(tiny, 7, num_requests=60))]
    improver = Improver(cost, sets, goal=MEAN_RESPONSE, deadline=NEVER, seed=0)
    found = improver([cost.placed(POOR), better])
    assert mean_s(tiny, found.placements[0]) <= 1.02 * mean_s(tiny, better)


def test_a_known_plan_does_not_take_the_place_of_a_beginning(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = CostModel.of(tiny)
    better, poor = improved(tiny).placements[0], cost.placed(POOR)
    monkeypatch.setattr(improve, "ROUND_MOVES", 2)  # too few to get from one to the other
    monkeypatch.setattr(improve, "begun_with", lambda work_s, run_s: 1)
    sets = [Rehearsal(cost, draw_requests(tiny, 7, num_requests=60))]
    found = []
    for known in ([], [better]):
        improver = Improver(cost, sets, goal=MEAN_RESPONSE, deadline=NEVER, seed=0)
        found.append(improver([poor], known).placements)
    assert mean_s(tiny, [*found[0], poor][0]) > 1.1 * mean_s(tiny, better)
    assert mean_s(tiny, found[1][0]) <= 1.02 * mean_s(tiny, better)
    assert found[1][1:] == found[0]


def test_what_comes_of_own_plans_does_not_depend_on_what_others_made(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    poor, other = cost.placed(POOR), cost.placed([(0, 3), (0, 3), (3, 6), (3, 6)])
    sets = [Rehearsal(cost, draw_requests(tiny, 7, num_requests=60))]
    alone, beside = (
        Improver(cost, sets, goal=MEAN_RESPONSE, work_s=0.05, deadline=NEVER, seed=0)([poor], known)
        for known in ([], [other])
    )
    assert alone.placements
    assert alone.placements[0] in beside.placements
    assert beside.judged > alone.judged


def test_a_search_ends_when_its_work_is_done_whatever_the_clock_says(tiny: Problem) -> None:
    whole, less = improved(tiny), improved(tiny, work_s=0.02)
    assert 0 < less.judged < whole.judged
    assert less == improved(tiny, work_s=0.02, deadline=Deadline.after(600.0))


def test_the_less_work_the_fewer_plans_are_begun_with() -> None:
    assert begun_with(math.inf, 0.1) == improve.STARTS
    assert 1 < begun_with(25.0, 0.1) < improve.STARTS
    assert begun_with(-1.0, 0.1) == 1


def test_equal_seeds_give_equal_plans(tiny: Problem) -> None:
    assert improved(tiny, seed=3) == improved(tiny, seed=3)


def test_without_time_the_plan_stays_as_it_is(tiny: Problem) -> None:
    found = improved(tiny, deadline=Deadline.after(0.0))
    assert found == Improvement(placements=(), judged=0)


def test_a_plan_that_does_not_serve_everybody_is_not_touched(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    sets = [Rehearsal(cost, draw_requests(tiny, 7, num_requests=30))]
    start = cost.placed([(0, 3), (0, 3), (0, 0), (0, 0)])
    improver = Improver(cost, sets, goal=MEAN_RESPONSE, deadline=NEVER, seed=0)
    assert improver([start]) == Improvement(placements=(), judged=0)


def test_what_a_scenario_demands_is_kept(tiny: Problem) -> None:
    pinned = (ServerSpan(server=1, start=0, end=3),)
    asked = replace(tiny, planning=replace(tiny.planning, constraints=Constraints(pinned=pinned)))
    found = improved(asked).placements[0]
    assert (found.start[1], found.end[1]) == (0, 3)
    assert found != CostModel.of(asked).placed(POOR)
    assert not any(unmet(CostModel.of(asked), found))


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_a_seed_of_the_search_is_none_of_a_report(tiny: Problem, share: float) -> None:
    loaded = at_load(tiny, share)
    searched = draw_requests(loaded, 8_765_432, num_requests=20)
    assert all(draw_requests(loaded, seed, num_requests=20) != searched for seed in range(50))
