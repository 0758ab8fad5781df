"""Fixing by reduced costs: what a plan within the cut-off may use stays, by hand to the limit."""

from __future__ import annotations

import numpy as np
import pytest

from swarmplan.core.workload import Demand
from swarmplan.placement.exact.bag import Bag
from swarmplan.placement.exact.fixing import Survivors, survivors
from swarmplan.placement.exact.instance import Data, data_of
from swarmplan.placement.exact.master import Master
from swarmplan.tests.placement.offline import offline, task_for


def solved(data: Data) -> Bag:
    """The relaxation at its best prices."""
    classes = len(data.sessions)
    bag = Bag(
        data=data,
        master=Master(data, np.full(classes, 1e4)),
        target=lambda: np.inf,
        deadline_s=np.inf,
    )
    bag.solve()
    return bag


@pytest.mark.parametrize(
    ("more", "visits"),
    [
        # One session of three that takes the far server costs 20 ms more, one that takes both
        # servers 30 ms; the other two may stay where they are.
        (19.9, {(0, 0): [2]}),
        (20.1, {(0, 0): [2], (0, 1): [2]}),
        (29.9, {(0, 0): [2], (0, 1): [2]}),
        (30.1, {(0, 0): [1, 2], (0, 1): [1, 2]}),
    ],
)
def test_a_visit_stays_when_a_single_session_can_afford_it(
    more: float, visits: dict[tuple[int, int], list[int]]
) -> None:
    problem = offline(
        blocks=2, tau_ms=[1.0, 1.0], memory=[9.0, 9.0], cache=0.1, hop_ms=[[10.0, 30.0]]
    )
    demand = [Demand(client=0, sessions=3, weight_tokens=1.0, cache_tokens=1)]
    bag = solved(data_of(task_for(problem, demand), 1e-3))
    assert bag.root.bound == pytest.approx(36.0)
    levels = {j: [2] for _, j in visits}  # memory cannot bind: hosting more costs nothing
    assert survivors(bag, 36.0 + more) == Survivors(visits=visits, levels=levels)
