"""Passes over drafts in the costs: per token, hop by hop, in both relay modes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.graph import build_graph, request_costs_s, step_costs_s
from swarmplan.chains.knapsack import least_chains_s
from swarmplan.chains.shortest import shortest
from swarmplan.core.drafting import Drafting, DraftModel, Use
from swarmplan.core.names import Relay
from swarmplan.core.plan import Hop, Route
from swarmplan.core.problem import Problem, Timing
from swarmplan.perfmodel.catalogue import model_spec
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.passes import LONGEST, VERIFY, Passes, usual_verify, verify_table
from swarmplan.perfmodel.speculation import survival, tokens_per_pass
from swarmplan.perfmodel.timing import StepCurves
from swarmplan.tests.simulator.test_drafts import drafting, of
from swarmplan.tests.simulator.test_engine import random_placement, random_problem

ROUTE = Route(hops=(Hop(server=0, start=0, end=4), Hop(server=1, start=4, end=6)))


def test_no_drafts_cost_what_everything_cost_before(tiny: Problem) -> None:
    plain, none = CostModel.of(tiny), CostModel.of(replace(tiny, drafting=(of(0.7), of(0.5))))
    assert none.drafts_alike
    for client in (0, 1):
        one, other = plain.shape(client, 5, 7), none.shape(client, 5, 7)
        assert one == other
        assert plain.step_s(ROUTE, one) == none.step_s(ROUTE, other)
    np.testing.assert_array_equal(plain.step_hop_s, none.step_hop_s)
    assert plain.work_s(5, 7) == none.work_s(5, 7)


@pytest.mark.parametrize("task_tokens", [1, 128])
def test_a_token_takes_its_share_of_a_pass_part_by_part(tiny: Problem, task_tokens: int) -> None:
    servers = tuple(
        replace(s, verify=((2.0, 1.5), (6.0, 1.9)), task_tokens=task_tokens,
                task_overhead_s=0.001, piece_delay_s=0.002)
        for s in tiny.servers
    )  # fmt: skip
    network = replace(tiny.network, client_bandwidth_bytes_per_s=np.full((2, 4), 1e5))
    own = of(0.7, draft_s=0.004, tokens=4)
    problem = replace(tiny, servers=servers, network=network, drafting=(own, own))
    cost, alone = CostModel.of(problem), CostModel.of(replace(problem, drafting=()))
    paid, plain = cost.shape(0, 5, 101), alone.shape(0, 5, 101)
    assert (paid.positions, paid.passes) == (5, cost.passes[0].per_token(100))
    pass_s = alone.step_s(ROUTE, plain) + 4 * 0.004
    for hop in ROUTE.hops:
        run_s = float(plain.step_run_s(hop.server, hop.start, hop.end))
        pass_s += 0.8 * run_s  # v(5) = 1.8
        pass_s += 4 * 2 * problem.model.activation_bytes_per_token / 1e5
        if task_tokens == 1:
            pass_s += len(hop) * (0.001 + 0.002) - 0.001
    assert cost.step_s(ROUTE, paid) == pytest.approx(paid.passes * pass_s, rel=1e-12)
    work = cost.pass_work_s(paid, 0, 0, 4)
    tasks = 4 if task_tokens == 1 else 1
    assert work == pytest.approx(1.8 * float(plain.step_run_s(0, 0, 4)) + tasks * 0.001)
    assert cost.pass_tasks(paid, 0, 0, 4) == tasks
    assert cost.step_work_s(paid, 0, 0, 4) == pytest.approx(paid.passes * work)
    time = cost.route_time(ROUTE, paid)
    assert time.ttft_s == alone.route_time(ROUTE, plain).ttft_s
    assert time.total_s == pytest.approx(time.ttft_s + 100 * time.tpot_s)


@given(st.integers(0, 10_000), st.sampled_from(["client", "server"]))
def test_links_add_up_to_the_time_of_a_chain_and_no_bound_is_above_it(
    seed: int, relay: Relay
) -> None:
    rng = np.random.default_rng(seed)
    problem = drafting(random_problem(rng), rng)
    problem = replace(
        problem,
        network=replace(problem.network, relay=relay),
        drafting=(replace(problem.drafting[0], ahead=False),) * 2,
    )
    cost, placement = CostModel.of(problem), random_placement(rng, problem)
    graph, paid = build_graph(cost, placement), cost.planned(1)
    links, total = shortest(graph, *request_costs_s(cost, graph, paid))
    route = graph.route(links)
    told = cost.route_time(route, paid)
    own_s = paid.steps * paid.draft_s
    assert total + own_s <= told.total_s * (1 + 1e-9)
    if relay == "client":
        assert total + own_s == pytest.approx(told.total_s)
    _, step_s = shortest(graph, *step_costs_s(cost, graph, paid))
    blocks = np.full(problem.num_servers, cost.num_blocks)
    assert least_chains_s(cost, [paid], blocks)[0] <= total * (1 + 1e-9)
    assert least_chains_s(cost, [paid], blocks, step=True)[0] <= step_s * (1 + 1e-9)
    hop, base = cost.relaying.cheapest_s(cost.step_hop_s, [0, 1])
    runs = sum(float(paid.step_run_s(h.server, h.start, h.end)) for h in route.hops)
    least = float(base[1] + hop[1, list(route.servers)].sum()) + runs
    assert least <= (cost.step_s(route, paid) - paid.draft_s) * (1 + 1e-9)


def test_clients_that_draft_differently_do_different_work(tiny: Problem) -> None:
    servers = tuple(replace(s, verify=((2.0, 1.5),)) for s in tiny.servers)
    problem = replace(tiny, servers=servers, drafting=(of(0.7, tokens=3), of(0.1, tokens=3)))
    cost = CostModel.of(problem)
    assert not cost.drafts_alike
    mine, other = (cost.work_s(5, 20, client).each for client in (0, 1))
    assert mine is not None
    assert other is not None
    assert (mine < other).all()
    np.testing.assert_allclose(np.asarray(cost.work_s(5, 20).each), mine)


def test_tables_of_passes_are_linear_between_and_level_beyond(tiny: Problem) -> None:
    server = replace(tiny.servers[0], verify=((3.0, 2.0), (5.0, 2.4)))
    curved = Timing(decode_base_s=0.01, decode_per_sequence_s=0.001, step_curve=((4.0, 0.006),))
    plain = replace(tiny.servers[1], timing=curved)
    batched = replace(server, timing=curved, sharing="batched")
    servers = [server, plain, batched]
    table = verify_table(servers, StepCurves.of([s.timing for s in servers]), 6)
    assert table[0, 0].tolist() == pytest.approx([1.0, 1.0, 1.5, 2.0, 2.2, 2.4, 2.4])
    assert table[0, 1].tolist() == [1.0] * 7
    assert table[1, 1].tolist() == pytest.approx([0, 0, 0.002, 0.004, 0.006, 0.007, 0.008])
    assert table[1, 2].tolist() == table[1, 1].tolist()


def test_what_is_usual_follows_precision_and_mixtures_have_their_own() -> None:
    assert usual_verify(model_spec("BLOOM-176B", "nf4")) == VERIFY["nf4"]
    own = replace(model_spec("Mixtral-8x7B", "bf16"), blocks=None)
    assert usual_verify(own) == ((2.0, 1.05),)
    assert usual_verify(model_spec("Mixtral-8x7B", "bf16"))[-1] == (8.0, 2.15)


def test_passes_of_long_answers_are_counted_as_if_one_by_one() -> None:
    model = DraftModel(acceptance=(0.9, 0.7), draft_s=0.01)
    passes = Passes(Drafting(models=(model,), use=Use(5)))
    tokens = tokens_per_pass(survival(model.acceptance), 5)
    assert passes.tokens == tokens
    far = passes.per_token(100 * LONGEST) * 100 * LONGEST
    near = passes.per_token(LONGEST) * LONGEST
    assert far - near == pytest.approx(99 * LONGEST / tokens)
    assert passes.per_token(1) == 1.0
    assert Passes(None).per_token(10) == 1.0
