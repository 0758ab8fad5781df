"""Chains of two capacities: sound placements, and better where servers differ much."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.soundness import misplaced
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.composed import chain_plan, chain_plans
from swarmplan.placement.rules.tiers import best_tiers
from swarmplan.placement.sessions import task_of
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.tests.placement.offline import uneven

ROOT = Path(__file__).resolve().parents[3]


def at_rate(problem: Problem, rate: float) -> Problem:
    factor = rate / problem.workload.rate_per_s
    classes = tuple(replace(c, rate_per_s=c.rate_per_s * factor) for c in problem.workload.classes)
    return replace(problem, workload=replace(problem.workload, classes=classes))


@given(seed=st.integers(0, 5_000), even=st.booleans())
def test_tiers_are_disjoint_complete_chains_within_the_memory(
    make_problem: Callable[..., Problem], seed: int, even: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=8, clients=1, length=4)
    if not even:
        problem = uneven(problem, rng)
    cost, tokens = CostModel.of(problem), problem.planning.session_tokens
    for tiers in best_tiers(cost):
        rows = [j for chain in tiers.chains for j in chain.servers]
        assert len(rows) == len(set(rows))
        complete = [chain for chain in tiers.chains if chain.complete]
        assert len(complete) == len(tiers.capacities)
        assert sorted(tiers.capacities, reverse=True) == list(tiers.capacities)
        for chain, capacity in zip(complete, tiers.capacities, strict=True):
            hosted = {b for start, end in chain.spans for b in range(start, end)}
            assert hosted == set(range(4))
            for j, (start, end) in zip(chain.servers, chain.spans, strict=True):
                held = cost.cache_bytes(capacity * tokens, start, end)
                assert cost.weights_bytes(j, start, end) + held <= problem.memory_bytes[j]
        placement = tiers.placement(cost)
        assert not list(misplaced(cost, placement))
        # The disjoint chains all fit at once; what GCA composes may cross them, for more or less.
        for chain, capacity in zip(complete, tiers.capacities, strict=True):
            for j, (start, end) in zip(chain.servers, chain.spans, strict=True):
                assert (placement.start[j], placement.end[j]) == (start, end)
                assert cost.cache_bytes(capacity * tokens, start, end) <= placement.cache_bytes[j]
        assert chain_plan(cost, placement, tiers.name).chains


def two_kinds(tiny: Problem) -> Problem:
    """One server holds the model and many sessions, three hold a third of it and one session."""
    session = 220
    memory = (6 * (1_000 + 20 * session), *[2 * (1_000 + session) + 10] * 3)
    servers = tuple(replace(s, memory_bytes=m) for s, m in zip(tiny.servers, memory, strict=True))
    return replace(tiny, servers=servers)


def test_small_servers_make_a_chain_of_their_own(tiny: Problem) -> None:
    found = best_tiers(CostModel.of(two_kinds(tiny)))
    assert any(tiers.capacities == (20, 1) for tiers in found)


def test_in_a_cloud_near_its_capacity_tiers_are_the_best_plan_by_the_bound() -> None:
    # A file with block times of its own: shipped profiles may be measured anew.
    problem = load_scenario(ROOT / "benchmarks" / "before" / "cloud.toml").problem
    busy = at_rate(problem, 3.19)
    plans = chain_plans(task_of(busy))
    assert plans[0].name.startswith("tiers")
    others = min(p.lower_s for p in plans if not p.name.startswith("tiers"))
    assert plans[0].lower_s < 0.9 * others


def test_a_swarm_for_one_session_has_no_tiers(tiny: Problem) -> None:
    small = tuple(replace(s, memory_bytes=3 * (1_000 + 220)) for s in tiny.servers)
    assert best_tiers(CostModel.of(replace(tiny, servers=small))) == ()


def test_capacities_from_outside_are_tried_too(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmplan.placement.rules.tiers._grid", lambda cost: [])
    cost = CostModel.of(two_kinds(tiny))
    assert best_tiers(cost) == ()
    (tiers,) = best_tiers(cost, also=(20, 1))
    assert tiers.name == "tiers c=20 x1, c=1"
