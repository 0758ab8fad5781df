"""What the search works on."""

import numpy as np

from swarmplan.chains.floor import cheapest_chains_s
from swarmplan.core.problem import Problem
from swarmplan.placement.search.state import Instance
from swarmplan.placement.sessions import task_of


def test_the_step_costs_are_those_of_the_shared_cost_model(tiny: Problem) -> None:
    task = task_of(tiny)
    instance = Instance.of(task.cost, task.demand, cheapest_chains_s(task.cost, task.demand))
    for client in range(2):
        shared = task.cost.planned(client)
        assert instance.hop_s[client].tolist() == shared.step_hop_s.tolist()
        blocks = instance.run_s[client](np.arange(4), 0, 1)
        assert blocks.tolist() == shared.step_run_s(np.arange(4), 0, 1).tolist()
