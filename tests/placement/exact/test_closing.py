"""The closing programme of the exact method: its limit, and the plan it begins with."""

import time

from swarmplan.benchmarks.instances import geographic
from swarmplan.chains.floor import cheapest_chains_s, summed_s
from swarmplan.perfmodel.predict import step_objective_s
from swarmplan.placement.exact.closing import close
from swarmplan.placement.exact.fixing import Survivors
from swarmplan.placement.exact.flow import Flow
from swarmplan.placement.exact.instance import data_of
from swarmplan.placement.search.solve import solve_search
from swarmplan.placement.sessions import task_of
from swarmplan.solve.deadline import Deadline


def test_a_plan_survives_a_limit_within_presolve() -> None:
    task = task_of(geographic(15, 3, 20, 4, "H").problem, deadline=Deadline.after(30))
    cost, demand = task.cost, task.demand
    bound_s = summed_s(demand, cheapest_chains_s(cost, demand))
    data = data_of(task, bound_s / 1000)
    servers = [j for j in range(task.problem.num_servers) if data.top[j]]
    visits = {
        (c, j): list(range(1, int(data.most[c, j]) + 1))
        for c in range(len(demand))
        for j in servers
        if data.most[c, j]
    }
    levels = {j: list(range(1, int(data.top[j]) + 1)) for j in servers}
    flow = Flow(data=data, survivors=Survivors(visits=visits, levels=levels))
    flow.build()
    found = solve_search(task, max_steps=20)
    start = (found.placement, found.routes)
    began = time.monotonic()
    closed = close(flow, start, limit_s=0.3, gap=1e-6, seed=0, enough=0.0)
    assert time.monotonic() - began < 0.3 + 1.5
    assert closed.plan is not None
    reached_s = step_objective_s(cost, closed.plan[1], demand)
    assert reached_s <= step_objective_s(cost, found.routes, demand) * (1 + 1e-9)
    assert closed.bound * data.unit_s <= reached_s
