"""Dives of the exact method: placements that chains agree on, and their plans."""

from __future__ import annotations

import numpy as np
import pytest

from swarmplan.benchmarks.instances import geographic
from swarmplan.chains.floor import cheapest_chains_s
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.predict import step_objective_s
from swarmplan.placement.exact.bag import Bag
from swarmplan.placement.exact.closing import close
from swarmplan.placement.exact.dive import Dives, common_first
from swarmplan.placement.exact.flow import Flow
from swarmplan.placement.exact.instance import Data, data_of
from swarmplan.placement.exact.limits import NO_LIMITS
from swarmplan.placement.exact.master import Master
from swarmplan.placement.sessions import task_of
from swarmplan.tests.placement.exact.test_solve import drawn
from swarmplan.tests.placement.offline import best_plan_s, task_for


def solved(data: Data, most_iterations: int | None = None) -> Bag:
    """The relaxation, solved without limits."""
    bag = Bag(
        data=data,
        master=Master(data, np.full(len(data.sessions), 1e4)),
        target=lambda: 1.001 * data.dearest,
        deadline_s=np.inf,
        most_iterations=most_iterations,
    )
    bag.solve()
    return bag


@pytest.mark.parametrize("seed", range(16))
def test_a_dive_ends_at_a_plan_no_better_than_the_optimum_and_the_last_one_is_told(
    seed: int,
) -> None:
    problem, demand = drawn(seed, servers=3, blocks=4)
    best_s = best_plan_s(problem, demand)
    if not np.isfinite(best_s):
        return
    alone = cheapest_chains_s(CostModel.of(problem), demand)
    data = data_of(task_for(problem, demand), float(alone.sum()) / 1000)
    dives, reached_s = Dives(solved(data), NO_LIMITS), []
    while not dives.exhausted:
        left = dives.dive()
        if left is None:
            continue
        flow = Flow(data=data, survivors=left)
        flow.build()
        closed = close(flow, None, limit_s=10.0, gap=1e-6, seed=0, enough=0.0)
        if closed.plan is not None:
            reached_s.append(step_objective_s(data.cost, closed.plan[1], demand))
    assert reached_s
    assert min(reached_s) >= best_s * (1 - 1e-9)
    # From no limits, and with no target to meet, nothing is left out.
    assert min(reached_s) <= best_s * 1.05


def test_servers_that_nearly_all_pass_stand_first_and_the_one_most_pass_last() -> None:
    task = task_of(geographic(12, 4, 30, 7002, "H").problem)
    demand = task.demand
    alone = cheapest_chains_s(task.cost, demand)
    data = data_of(task, sum(d.sessions * s for d, s in zip(demand, alone, strict=True)) / 1000)
    limits = common_first(solved(data).master)
    # Two servers run 22 blocks or more of nearly every session; only one of them of every one.
    assert limits.ends == {7: (70, 70), 5: (22, 22)}


def test_a_dive_that_has_to_stop_goes_on_later_where_it_was() -> None:
    data = data_of(task_of(geographic(9, 2, 60, 7000, "H").problem), 1e-3)
    bag = solved(data)
    dives = Dives(bag, NO_LIMITS)
    bag.most_iterations = bag.iterations
    assert dives.dive() is None
    assert not dives.exhausted
    bag.most_iterations = None
    assert any(dives.dive() is not None for _ in range(50))
