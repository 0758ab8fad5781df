"""The closing programme of the exact method: its limit, and the plan it begins with."""

import time

from swarmplan.benchmarks.instances import geographic
from swarmplan.placement.demand import demand_of
from swarmplan.placement.exact.closing import close
from swarmplan.placement.exact.fixing import Survivors
from swarmplan.placement.exact.flow import Flow
from swarmplan.placement.exact.instance import data_of
from swarmplan.placement.milp.start import objective
from swarmplan.placement.search.bounds import cheapest_chains_s, summed_s
from swarmplan.placement.search.solve import solve_search


def test_a_plan_survives_a_limit_within_presolve() -> None:
    problem = geographic(15, 3, 20, 4, "H").problem
    demand = tuple(demand_of(problem))
    bound_s = summed_s(demand, cheapest_chains_s(problem, demand))
    data = data_of(problem, demand, bound_s / 1000)
    servers = [j for j in range(problem.num_servers) if data.top[j]]
    visits = {
        (c, j): list(range(1, int(data.most[c, j]) + 1))
        for c in range(len(demand))
        for j in servers
        if data.most[c, j]
    }
    levels = {j: list(range(1, int(data.top[j]) + 1)) for j in servers}
    flow = Flow(data=data, survivors=Survivors(visits=visits, levels=levels))
    flow.build()
    placement, routes, _ = solve_search(problem, demand=demand, time_limit_s=30, max_steps=20)
    began = time.monotonic()
    closed = close(flow, (placement, routes), limit_s=0.3, gap=1e-6, seed=0, enough=0.0)
    assert time.monotonic() - began < 0.3 + 1.5
    assert closed.plan is not None
    reached_s = objective(problem, demand, closed.plan[1])
    assert reached_s <= objective(problem, demand, routes) * (1 + 1e-9)
    assert closed.bound * data.unit_s <= reached_s
