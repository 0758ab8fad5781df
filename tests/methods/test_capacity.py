"""How much a swarm sustains: what is found holds in simulation and is below what is proven."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from swarmplan import api
from swarmplan.chains.capacity import most_per_s
from swarmplan.chains.sustain import sustained
from swarmplan.core.problem import Problem
from swarmplan.methods.capacity import FINENESS, LEAST, capacity, highest, piled
from swarmplan.methods.certify import beside_most, load_in_words
from swarmplan.methods.draft import Settings
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.scenarios.accuracy import narrowed
from swarmplan.scenarios.check import check_problem
from swarmplan.scenarios.scenario import scenario_of
from swarmplan.simulator.engine import simulate
from swarmplan.solve.deadline import NEVER
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import at_load
from swarmplan.workload.mix import mix_of


def test_who_stays_is_counted_after_a_third() -> None:
    arrival = np.arange(90.0)
    assert piled(arrival, arrival + 0.5) == pytest.approx(0.0)
    assert piled(arrival, np.full(90, np.nan)) == pytest.approx(1.0)
    # Every other one stays; at first nobody leaves at all.
    finish = np.where(np.arange(90) % 2, arrival + 0.5, np.nan)
    assert piled(arrival, finish) == pytest.approx(0.5, abs=0.01)
    late = np.where(arrival < 29, 29.5, arrival + 0.5)
    assert piled(arrival, late) == pytest.approx(0.0)


def test_the_best_found_holds_and_more_than_the_bound_does_not(tiny: Problem) -> None:
    found = capacity(Settings(time_limit_s=3).task(tiny, "response"))
    best = found.best
    assert 0 < best.found_per_s <= best.carried.rate_per_s <= found.most_per_s
    assert best.found_per_s >= LEAST * best.carried.rate_per_s
    assert [c.found_per_s for c in found.carriers] == sorted(
        (c.found_per_s for c in found.carriers), reverse=True
    )
    assert any(best.carried.binds(j) for j in range(tiny.num_servers))
    for rate, holds in ((0.9 * best.found_per_s, True), (1.15 * found.most_per_s, False)):
        problem = at_load(tiny, rate / tiny.workload.rate_per_s)
        cost = CostModel.of(problem)
        router = router_named(best.router)(cost, best.placement)
        requests = draw_requests(problem, 11, num_requests=2_000)
        last_s = max(r.arrival_s for r in requests)
        run = simulate(problem, best.placement, router, requests, horizon_s=last_s)
        assert (piled(run.arrival_s, run.finish_s) < 0.02) is holds


@pytest.mark.parametrize("most", [0.95, 0.7, 0.3, 0.02])
def test_a_rate_that_holds_is_found_however_low(most: float) -> None:
    """Bursts pile up far below what a steady flow carries."""
    found = highest(10.0, 0.0, lambda rate: rate <= 10.0 * most, NEVER)
    assert 10.0 * (most - FINENESS) <= found <= 10.0 * most
    assert highest(10.0, 0.0, lambda rate: False, NEVER) == 0.0
    better = highest(10.0, 6.5, lambda rate: rate <= 10.0 * most, NEVER)
    assert better == 0.0 if most < 0.65 else better > 6.5


def test_the_load_is_said_beside_the_bound(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    assert load_in_words(cost).startswith("load 1 requests/s, ")
    assert beside_most(0.5, 2.0).startswith("load 0.5 requests/s, 25 % of the 2 that no plan")
    assert beside_most(3.0, 2.0).startswith("overload: 3 requests/s arrive, no plan sustains more")
    heavy = at_load(tiny, 1_000.0)
    assert load_in_words(CostModel.of(heavy)).startswith("overload: 1000 requests/s")


def test_without_lines_the_fastest_free_chains_are_tried(tiny: Problem) -> None:
    servers = tuple(replace(s, sharing="independent") for s in tiny.servers)
    found = capacity(Settings(time_limit_s=3).task(replace(tiny, servers=servers), "response"))
    assert found.best.router != "overlap"
    assert found.best.carried.compute_frac.max() == 0.0
    assert 0 < found.best.found_per_s <= found.most_per_s


def heavy_first() -> Problem:
    """Servers of which all together hold the model at nf4, and less than half of it at bf16."""
    kinds = {"fast": 2.0, "slow": 6.0}
    raw = {
        "format": "swarmplan/scenario/1",
        "name": "heavy first",
        "model": {"name": "toy", "num_blocks": 12, "hidden_size": 1024, "block_mb": 27,
                  "cache_bytes_per_token": 4096},
        "devices": {k: {"memory_gb": 0.2, "decode_ms": ms} for k, ms in kinds.items()},
        "servers": [{"id": k, "device": k, "count": 2, "lat": 50, "lon": 4,
                     "precisions": ["bf16", "nf4"]} for k in kinds],
        "clients": [{"id": "near", "lat": 50, "lon": 5}],
        "workload": {"requests": 40, "streams": [
            {"client": "near", "rate_per_s": 0.5, "prompt_tokens": 50, "output_tokens": 20}]},
    }  # fmt: skip
    return scenario_of(raw, Path("heavy.toml")).problem


def test_what_fits_at_another_precision_than_the_first_is_no_overload() -> None:
    problem = heavy_first()
    assert not [line for line in check_problem(problem) if "no plan exists" in line]
    found = api.capacity(problem, settings=Settings(time_limit_s=4))
    assert 0 < found.best.found_per_s <= found.most_per_s
    assert len(found.best.placement.precision) == problem.num_servers
    made = api.plan_for(problem, found, settings=Settings(time_limit_s=4))
    assert made.placement.precision == found.best.placement.precision
    assert not [f for f in api.verify(problem, made) if f.grave]
    # At any precision of all servers the bound for that choice alone is no higher.
    mix = mix_of(problem)
    for names in product(("bf16", "nf4"), repeat=4):
        one = most_per_s(CostModel(problem.at_precisions(names).fixed), mix)
        assert one <= found.most_per_s * (1 + 1e-9)
    assert most_per_s(CostModel(problem.at_precisions(["bf16"] * 4).fixed), mix) == 0


@pytest.mark.parametrize(("percent", "carries"), [(0.0, False), (1.0, True), (2.1, True)])
def test_only_chains_within_every_budget_carry(percent: float, carries: bool) -> None:
    """All of nf4 costs 2 %; a chain with one half at bf16 costs 1 %."""
    names, rates = ("bf16", "nf4", "nf4", "nf4"), []
    for budget in (percent, 100.0):
        problem = narrowed(heavy_first(), budget_percent=budget).at_precisions(names)
        cost = CostModel(problem)
        placement = cost.placed([(0, 6), (6, 12), (0, 6), (6, 12)], cache_bytes=[10**7] * 4)
        found = sustained(cost, placement, mix_of(problem))
        assert all(cost.route_harm(f.route) <= cost.budgets[0] + 1e-12 for f in found.flows)
        rates.append(found.rate_per_s)
    assert (rates[0] > 0) is carries
    assert (rates[0] < 0.99 * rates[1]) is (percent < 2)
