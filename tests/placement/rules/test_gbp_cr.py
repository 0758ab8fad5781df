"""GBP-CR: the worked example of the paper, fewest chains for a load, what stays idle."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.compose import gca, job_costs, total_service_rate
from swarmplan.chains.soundness import misplaced
from swarmplan.core.errors import HeuristicFailedError
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.gbp_cr import disjoint_chains, gbp_cr, max_capacity
from swarmplan.tests.placement.offline import jobs, uneven


def test_the_worked_example_of_the_paper(shared_data: Path) -> None:
    case = json.loads((shared_data / "golden" / "chains.json").read_text())["gbp_cr_gca_example"]
    servers, expected = case["servers"], case["expected"]
    problem = jobs(
        blocks=case["blocks"],
        memory=[s["memory"] for s in servers],
        comm_s=[s["comm_time"] for s in servers],
        block_s=[s["time_per_block"] for s in servers],
        cache=case["cache_size_per_block"],
        rate_per_s=1e6,
    )
    names = [s["name"] for s in servers]
    cost = CostModel.of(problem)
    made = disjoint_chains(cost, case["reserved_capacity_c"])
    placement = made.placement
    assert placement.num_blocks.tolist() == [expected["blocks_per_server_m"][n] for n in names]
    assert (placement.start + 1).tolist() == [expected["first_block_a_1based"][n] for n in names]
    assert [names[j] for j in placement.order] == expected["order_by_time_per_block"]
    assert [[names[j] for j in c] for c in made.chains] == [
        c["servers"] for c in expected["gbp_cr_chains"]
    ]
    rate = sum(1 / c["service_time"] for c in expected["gbp_cr_chains"])
    assert made.rate_per_s == pytest.approx(rate, rel=1e-9)
    chains = gca(cost, placement)
    assert [
        ([names[j] for j in c.route.servers], [len(h) for h in c.route.hops], c.capacity)
        for c in chains
    ] == [(c["servers"], c["blocks_run"], c["capacity"]) for c in expected["gca_chains"]]
    for chain, golden in zip(chains, expected["gca_chains"], strict=True):
        assert chain.service_time_s == pytest.approx(golden["service_time"], rel=1e-9)
    assert total_service_rate(chains) == pytest.approx(expected["total_service_rate"], rel=1e-9)


def fewest_chains(problem: Problem, blocks: int, needed: float) -> int | None:
    """Least number of disjoint groups of servers, each holding the model, with enough rate."""
    costs = job_costs(CostModel.of(problem))
    seconds = costs.hop_s + costs.run_s(np.arange(problem.num_servers), 0, blocks)
    size = math.ceil(problem.model.num_blocks / blocks)

    def best_rate(free: frozenset[int], chains: int) -> float:
        if chains == 0:
            return 0.0
        return max(
            (
                1 / float(seconds[list(group)].sum()) + best_rate(free - set(group), chains - 1)
                for group in itertools.combinations(sorted(free), size)
            ),
            default=-math.inf,
        )

    everyone = frozenset(range(problem.num_servers))
    for chains in range(1, problem.num_servers // size + 1):
        if best_rate(everyone, chains) >= needed:
            return chains
    return None


@given(
    comm=st.lists(st.integers(1, 90), min_size=2, max_size=7, unique=True),
    blocks=st.integers(2, 4),
    load=st.floats(0.1, 3.0),
    seed=st.integers(0, 99),
)
def test_equal_memory_gives_the_fewest_chains_that_carry_the_load(
    comm: list[int], blocks: int, load: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    length, n = 6, len(comm)
    problem = jobs(
        blocks=length,
        memory=[blocks + 0.5] * n,
        comm_s=[c / 10 for c in comm],
        block_s=rng.uniform(0.01, 2.0, n).tolist(),
        rate_per_s=load * 0.7 * 0.2,
    )
    cost = CostModel.of(problem)
    needed = problem.workload.rate_per_s / 0.7
    size = math.ceil(length / blocks)
    if size > n:
        with pytest.raises(HeuristicFailedError, match="reserve fewer"):
            gbp_cr(cost, 1)
        return
    fewest = fewest_chains(problem, blocks, needed)
    made = disjoint_chains(cost, 1)
    assert len(made.chains) == (fewest if fewest is not None else n // size)


def test_servers_beyond_the_target_load_stay_idle_unless_asked_for() -> None:
    problem = jobs(blocks=2, memory=[2.5] * 4, comm_s=[1.0] * 4, block_s=[0.5] * 4, rate_per_s=0.3)
    # Each chain is one server of 2 s per job: one session at load 0.7 serves 0.35/s.
    cost = CostModel.of(problem)
    assert gbp_cr(cost, 1).num_blocks.tolist() == [2, 0, 0, 0]
    assert gbp_cr(cost, 1, load=None).num_blocks.tolist() == [2, 2, 2, 2]


def test_an_unfinished_last_chain_keeps_its_servers() -> None:
    problem = jobs(blocks=4, memory=[2.5] * 3, comm_s=[1.0] * 3, block_s=[0.5] * 3, rate_per_s=9.0)
    made = disjoint_chains(CostModel.of(problem), 1)
    assert made.chains == ((0, 1),)
    assert made.placement.num_blocks.tolist() == [2, 2, 2]


def test_a_server_that_holds_no_block_is_left_out() -> None:
    problem = jobs(blocks=2, memory=[1.05, 2.5], comm_s=[1.0, 1.0], block_s=[0.1, 0.1])
    assert gbp_cr(CostModel.of(problem), 1).num_blocks.tolist() == [0, 2]


@given(seed=st.integers(0, 10_000), spares=st.booleans())
def test_where_blocks_differ_every_chain_holds_the_sessions_that_it_was_made_for(
    make_problem: Callable[..., Problem], seed: int, spares: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = uneven(make_problem(rng, servers=8, clients=2, length=5), rng)
    cost = CostModel.of(problem)
    tokens, memory = problem.planning.session_tokens, problem.memory_bytes
    for c in range(1, max_capacity(cost) + 1):
        made = disjoint_chains(cost, c, load=0.7 if spares else None)
        spans = made.placement
        assert not list(misplaced(cost, spans))
        for j in range(problem.num_servers):
            start, end = int(spans.start[j]), int(spans.end[j])
            need = cost.weights_bytes(j, start, end) + cost.cache_bytes(c * tokens, start, end)
            assert need <= memory[j]
        for chain in made.chains:
            reached = 0
            for j in chain:
                assert spans.start[j] <= reached
                reached = int(spans.end[j])
            assert reached == 5
        # Spare cache can only add chains to the disjoint ones.
        assert sum(found.capacity for found in gca(cost, spans)) >= c * len(made.chains)
