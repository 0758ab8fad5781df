"""Chain composition: golden example, exhaustive search, choice of the capacity."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.compose import gca, job_costs, total_service_rate
from swarmplan.core.errors import HeuristicFailedError, InfeasibleError
from swarmplan.core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from swarmplan.core.workload import Lengths, RequestClass, Workload
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.composed import (
    chain_plan,
    chain_plans,
    disjoint_chains,
    gbp_cr,
    max_capacity,
)
from swarmplan.placement.sessions import task_of

BLOCK = 1_000_000


def jobs(
    *,
    blocks: int,
    memory: list[float],
    comm_s: list[float],
    block_s: list[float],
    cache: float = 0.1,
    rate_per_s: float = 1.0,
) -> Problem:
    """Whole-job times as given: requests of one output token, so only the prompt costs."""
    one = Lengths(values=(1,))
    n = len(memory)
    return Problem(
        model=ModelSpec(
            name="toy",
            num_blocks=blocks,
            hidden_size=8,
            block_bytes=BLOCK,
            cache_bytes_per_token=round(cache * BLOCK),
            activation_bytes_per_token=16,
        ),
        servers=tuple(
            Server(
                id=f"j{j + 1}",
                memory_bytes=round(memory[j] * BLOCK),
                block_bytes=BLOCK,
                timing=Timing(decode_base_s=0.0, prefill_base_s=block_s[j]),
            )
            for j in range(n)
        ),
        clients=(Client(id="c"),),
        network=Network(client_rtt_s=np.array([comm_s]), server_rtt_s=np.zeros((n, n))),
        workload=Workload(
            classes=(
                RequestClass(client=0, rate_per_s=rate_per_s, prompt_tokens=one, output_tokens=one),
            )
        ),
        planning=Planning(prompt_tokens=1, output_tokens=1, session_tokens=1),
    )


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
    made = disjoint_chains(CostModel.of(problem), case["reserved_capacity_c"])
    placement = made.placement
    assert placement.num_blocks.tolist() == [expected["blocks_per_server_m"][n] for n in names]
    assert (placement.start + 1).tolist() == [expected["first_block_a_1based"][n] for n in names]
    assert [names[j] for j in placement.order] == expected["order_by_time_per_block"]
    assert [[names[j] for j in c] for c in made.chains] == [
        c["servers"] for c in expected["gbp_cr_chains"]
    ]
    rate = sum(1 / c["service_time"] for c in expected["gbp_cr_chains"])
    assert made.rate_per_s == pytest.approx(rate, rel=1e-9)
    chains = gca(CostModel.of(problem), placement)
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
    seconds = costs.hop_s + costs.block_s * blocks
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
    needed = problem.workload.rate_per_s / 0.7
    size = math.ceil(length / blocks)
    if size > n:
        with pytest.raises(HeuristicFailedError, match="reserve fewer"):
            gbp_cr(CostModel.of(problem), 1)
        return
    fewest = fewest_chains(problem, blocks, needed)
    made = disjoint_chains(CostModel.of(problem), 1)
    assert len(made.chains) == (fewest if fewest is not None else n // size)


def test_servers_beyond_the_target_load_stay_idle_unless_asked_for() -> None:
    problem = jobs(blocks=2, memory=[2.5] * 4, comm_s=[1.0] * 4, block_s=[0.5] * 4, rate_per_s=0.3)
    # Each chain is one server of 2 s per job: one session at load 0.7 serves 0.35/s.
    assert gbp_cr(CostModel.of(problem), 1).num_blocks.tolist() == [2, 0, 0, 0]
    assert gbp_cr(CostModel.of(problem), 1, load=None).num_blocks.tolist() == [2, 2, 2, 2]


def test_an_unfinished_last_chain_keeps_its_servers() -> None:
    problem = jobs(blocks=4, memory=[2.5] * 3, comm_s=[1.0] * 3, block_s=[0.5] * 3, rate_per_s=9.0)
    made = disjoint_chains(CostModel.of(problem), 1)
    assert made.chains == ((0, 1),)
    assert made.placement.num_blocks.tolist() == [2, 2, 2]


def test_a_server_that_holds_no_block_is_left_out() -> None:
    problem = jobs(blocks=2, memory=[1.05, 2.5], comm_s=[1.0, 1.0], block_s=[0.1, 0.1])
    assert gbp_cr(CostModel.of(problem), 1).num_blocks.tolist() == [0, 2]


def mixed(rate_per_s: float, cache: float = 0.1) -> Problem:
    """Two large and five small servers for six blocks."""
    return jobs(
        blocks=6,
        memory=[9.0, 8.0, 4.0, 4.0, 3.5, 3.0, 2.5],
        comm_s=[0.5, 2.0, 0.4, 0.6, 0.3, 0.8, 0.2],
        block_s=[0.2, 0.1, 0.4, 0.3, 0.5, 0.4, 0.6],
        cache=cache,
        rate_per_s=rate_per_s,
    )


@pytest.mark.parametrize("rate", [0.1, 1.0, 3.0, 6.0])
def test_the_best_plan_is_no_worse_than_any_candidate(rate: float) -> None:
    problem = mixed(rate)
    plans = chain_plans(task_of(problem))
    for c in range(1, max_capacity(CostModel.of(problem)) + 1):
        for load in (0.7, None):
            other = chain_plan(
                CostModel.of(problem), gbp_cr(CostModel.of(problem), c, load=load), "other"
            )
            assert plans[0].lower_s <= other.lower_s
    assert all(p.lower_s <= p.upper_s * (1 + 1e-12) for p in plans)
    assert all(p.chains and p.rate_per_s > 0 for p in plans)
    names = {p.name.split(" ")[0] for p in plans}
    assert {"whole-model", "gbp-cr"} <= names
    assert composed(task_of(problem)).start.tolist() == plans[0].placement.start.tolist()


def test_more_load_reserves_more_cache() -> None:
    light, heavy = chain_plans(mixed(0.05))[0], chain_plans(mixed(9.0))[0]
    assert light.lower_s < heavy.lower_s
    assert light.rate_per_s < heavy.rate_per_s


def test_beyond_all_capacity_the_plan_that_sustains_most_comes_first() -> None:
    plans = chain_plans(mixed(1e4))
    assert math.isinf(plans[0].lower_s)
    assert plans[0].rate_per_s == max(p.rate_per_s for p in plans)


def test_many_values_of_c_are_searched_on_a_grid_that_keeps_the_ends() -> None:
    problem = mixed(1.0, cache=0.005)
    assert max_capacity(CostModel.of(problem)) > 100
    plans = chain_plans(task_of(problem))
    best = min(
        chain_plan(CostModel.of(problem), gbp_cr(CostModel.of(problem), c, load=None), "").lower_s
        for c in range(1, max_capacity(CostModel.of(problem)) + 1)
    )
    assert plans[0].lower_s <= best * 1.02


def test_too_little_memory_in_all_is_proven_infeasible() -> None:
    problem = jobs(blocks=6, memory=[2.5, 3.5], comm_s=[1.0] * 2, block_s=[1.0] * 2)
    assert max_capacity(CostModel.of(problem)) == 0
    with pytest.raises(InfeasibleError, match="can host 5 of the 6 blocks"):
        chain_plans(task_of(problem))
