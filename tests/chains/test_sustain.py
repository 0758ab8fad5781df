"""The highest rate on a placement: against the programme over every chain there is."""

from collections.abc import Callable

import numpy as np
import pytest

from swarmplan.chains.compose import bearable_per_s, gca, job_costs, mean_service_s
from swarmplan.chains.sustain import sustained
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Mix
from swarmplan.perfmodel.cost import CostModel
from swarmplan.solve.deadline import NEVER
from swarmplan.solve.lp import Lp
from swarmplan.tests.chains.every import every_chain

MIX = Mix.of(np.array([[0, 10, 9, 20], [1, 10, 9, 20]]), np.array([0.5, 0.5]))


def by_every_chain(cost: CostModel, placement: Placement) -> float:
    """The optimum, written down chain by chain."""
    lp, jobs, n = Lp(), job_costs(cost), cost.problem.num_servers
    for _ in range(2 * n):
        lp.add_row({}, -np.inf, 1.0)
    work, any_chain = cost.work_s(10, 9), False
    for route in every_chain(placement, cost.num_blocks):
        entries = {}
        lasts = mean_service_s(cost, route, jobs) + cost.opening_s
        for h in route.hops:
            entries[h.server] = float(work(h.server, h.start, h.end))
            held = 20 * float(cost.cache_bytes(1, h.start, h.end))
            entries[n + h.server] = held * lasts / max(float(placement.cache_bytes[h.server]), 1)
            if held > placement.cache_bytes[h.server]:
                break
        else:
            lp.add_column(-1.0, entries)
            any_chain = True
    if not any_chain:
        return 0.0
    solution = lp.solve(NEVER)
    assert solution is not None
    return -solution.objective


@pytest.mark.parametrize("relay", ["client", "server"])
def test_it_is_the_optimum_over_all_chains_or_near_it(
    make_problem: Callable[..., Problem],
    make_placement: Callable[[np.random.Generator, Problem], Placement],
    relay: str,
) -> None:
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        problem = make_problem(rng, servers=6, relay=relay)
        placement = make_placement(rng, problem)
        cost = CostModel.of(problem)
        best, found = by_every_chain(cost, placement), sustained(cost, placement, MIX)
        assert found.rate_per_s <= best * (1 + 1e-7)
        assert (found.rate_per_s > 0) == (best > 0)
        assert max(found.compute_frac.max(), found.cache_frac.max()) <= 1 + 1e-7
        assert sum(f.rate_per_s for f in found.flows) == pytest.approx(found.rate_per_s)
        if best > 0:
            shares.append(found.rate_per_s / best)
            assert any(found.binds(j) for j in range(problem.num_servers))
    assert len(shares) > 20
    # Exact where compute binds; where caches do, chains last longer than was assumed of them.
    assert np.mean(np.array(shares) > 1 - 1e-6) > 0.8
    assert min(shares) > 0.8


def test_it_is_never_below_what_composed_chains_bear(
    make_problem: Callable[..., Problem],
    make_placement: Callable[[np.random.Generator, Problem], Placement],
) -> None:
    more = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        problem = make_problem(rng, servers=6, clients=1)
        cost, placement = CostModel.of(problem), make_placement(rng, problem)
        one = Mix.of(np.array([[0, 10, 9, 20]]), np.array([1.0]))
        chains = gca(cost, placement)
        if chains:
            borne = bearable_per_s(cost, chains)
            carried = sustained(cost, placement, one).rate_per_s
            assert carried >= borne * (1 - 1e-6)
            more += carried > borne * 1.01
    assert more > 5


def test_without_a_chain_nothing_is_sustained(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    assert sustained(cost, cost.placed([(0, 3)] * 4), MIX).rate_per_s == 0.0
    # Weights fill the memory: no session fits.
    full = cost.placed([(0, 6), (0, 4), (2, 6), (0, 3)], cache_bytes=[0, 0, 0, 0])
    assert sustained(cost, full, MIX).flows == ()
