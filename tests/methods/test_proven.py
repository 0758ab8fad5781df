"""The exact method as a method: where it begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmplan import api
from swarmplan.benchmarks.instances import geographic
from swarmplan.methods.draft import Settings
from swarmplan.methods.verify import verify
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.search.solve import solve_search
from swarmplan.placement.sessions import task_of


@pytest.mark.parametrize("routed", [True, False])
def test_nothing_dearer_than_a_known_plan_is_returned(routed: bool) -> None:
    problem = geographic(15, 3, 20, 4, "H").problem
    task = task_of(problem, gap=1e-6)
    placement, routes, certificate = solve_search(task, max_steps=120)
    plan = api.plan(
        problem,
        "exact",
        settings=Settings(
            time_limit_s=0.01,
            known=((placement, "overlap"),),
            routed=((placement, routes),) if routed else (),
        ),
    )
    assert not verify(problem, plan)
    reached, known = plan.certificate.objective.value, certificate.objective.value
    assert reached is not None
    assert known is not None
    assert reached <= known * (1 + 1e-12) or not routed


def test_plans_that_cannot_be_here_are_left_out() -> None:
    problem = geographic(9, 1, 3, 100).problem
    cost = CostModel.of(problem)
    everywhere = cost.placed([(0, problem.model.num_blocks)] * problem.num_servers)
    other = replace(everywhere, start=everywhere.start[:2], end=everywhere.end[:2],
                    cache_bytes=everywhere.cache_bytes[:2])  # fmt: skip
    known = ((everywhere, "overlap"), (other, "overlap"))
    plan = api.plan(problem, "exact", settings=Settings(known=known, routed=((other, ()),)))
    assert not verify(problem, plan)
    assert plan.certificate.status == "optimal"
