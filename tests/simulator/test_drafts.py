"""Sessions that draft: the luck of their drafts, and the engine against a plain replay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.benchmarks.replay import replay, started
from swarmplan.core.drafting import Drafting, DraftModel, Use
from swarmplan.core.names import Semantics
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem, Timing
from swarmplan.core.workload import Request
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.speculation import (
    law,
    passes_needed,
    survival,
    tokens_per_pass,
    two_deep_s,
)
from swarmplan.routing.overlap import Overlap
from swarmplan.routing.petals import PetalsRouting
from swarmplan.simulator.drafts import RIGHT, luck_of, row_of
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.luck import chance, tokens_made
from swarmplan.simulator.rehearsal import Rehearsal
from swarmplan.tests.simulator.test_engine import (
    random_placement,
    random_problem,
    random_requests,
)
from swarmplan.tests.simulator.test_rehearsal import case_of
from swarmplan.tests.simulator.test_tasks import shared


def of(
    *acceptance: float,
    draft_s: float = 0.0,
    tokens: int = 0,
    semantics: Semantics = "standard",
    ahead: bool = False,
) -> Drafting:
    """A client with one draft model."""
    model = DraftModel(acceptance=acceptance, draft_s=draft_s)
    return Drafting(models=(model,), use=Use(tokens), semantics=semantics, ahead=ahead)


def drafting(problem: Problem, rng: np.random.Generator) -> Problem:
    """Clients that draft, each in its own way, over servers with or without a table of passes."""
    each = tuple(
        of(
            *rng.uniform(0.2, 0.95, int(rng.integers(1, 4))).tolist(),
            draft_s=float(rng.uniform(0, 0.02)),
            tokens=int(rng.integers(0, 8)),
            semantics="petals" if petals else "standard",
            ahead=not petals and rng.random() < 0.5,
        )
        for petals in (rng.random(len(problem.clients)) < 0.3).tolist()
    )
    tables = ((), ((2.0, 1.4), (4.0, 2.1)))
    servers = tuple(
        replace(s, verify=tables[int(rng.integers(2))], task_tokens=int(rng.choice([1, 4, 128])))
        for s in problem.servers
    )
    bandwidth = rng.uniform(1e4, 1e6, problem.network.client_rtt_s.shape)
    network = problem.network
    if rng.random() < 0.5:
        network = replace(network, client_bandwidth_bytes_per_s=bandwidth)
    return replace(problem, servers=servers, drafting=each, network=network)


def with_room(requests: tuple[Request, ...], rng: np.random.Generator) -> tuple[Request, ...]:
    """Requests that do not outgrow what they reserve; some with an acceptance of their own."""
    return tuple(
        replace(
            r,
            reserved_tokens=r.prompt_tokens + r.output_tokens + int(rng.integers(0, 3)),
            acceptance=(0.5,) if rng.random() < 0.3 else (),
        )
        for r in requests
    )


@given(st.integers(0, 10_000))
def test_every_token_comes_when_a_plain_replay_says_so(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = drafting(shared(random_problem(rng), rng, ("serial", "serial", "independent")), rng)
    placement = random_placement(rng, problem)
    router = PetalsRouting()(CostModel.of(problem), placement)
    requests = with_room(random_requests(rng, 40), rng)
    result = simulate(problem, placement, router, requests, admission="queue")
    sessions = started(result)
    for s in sessions:
        s.request = requests[s.row]
    replay(problem, sessions)
    for s in sessions:
        assert result.first_token_s[s.row] == pytest.approx(s.token_s[0], rel=1e-9)
        assert result.finish_s[s.row] == pytest.approx(s.token_s[-1], rel=1e-9)


@given(st.integers(0, 10_000))
def test_drafts_that_differ_by_chain_are_those_of_a_plain_replay(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = drafting(shared(random_problem(rng), rng, ("serial", "serial", "independent")), rng)
    servers = tuple(replace(s, rollback=bool(rng.random() < 0.8)) for s in problem.servers)
    problem = replace(problem, servers=servers)
    placement = random_placement(rng, problem)
    router = PetalsRouting()(CostModel.of(problem), placement)
    requests = with_room(random_requests(rng, 20), rng)
    chains = {r.servers for r in simulate(problem, placement, router, requests).routes if r}
    other = tuple((chain, int(rng.integers(0, 8))) for chain in sorted(chains))
    uses = [use._replace(chains=other) if use.tokens else use for use in problem.drafts]
    problem = problem.with_drafts(uses)
    result = simulate(problem, placement, router, requests, admission="queue")
    sessions = started(result)
    for s in sessions:
        s.request = requests[s.row]
    replay(problem, sessions)
    for s in sessions:
        assert result.finish_s[s.row] == pytest.approx(s.token_s[-1], rel=1e-9)
        chain = [server for server, _, _ in s.chain]
        drafts = problem.drafts_on(s.client, chain)
        assert bool(result.passes[s.row]) == bool(drafts and s.output_tokens > 1)


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_a_rehearsal_says_what_the_engine_says(seed: int) -> None:
    cost, placement, requests = case_of(seed)
    rng = np.random.default_rng(seed)
    problem = drafting(cost.problem, rng)
    requests = with_room(requests, rng)
    cost = CostModel.of(problem)
    known = simulate(problem, placement, Overlap(cost, placement), requests)
    found = Rehearsal(cost, requests)(placement)
    order = np.argsort(known.arrival_s, kind="stable")
    np.testing.assert_array_equal(found.response_s, known.response_s[order])
    np.testing.assert_array_equal(found.ttft_s, known.ttft_s[order])


def test_luck_is_even_and_that_of_one_place_tells_nothing_of_another() -> None:
    drawn = np.array([[chance(luck, place, 0) for place in range(300)] for luck in range(300)])
    assert drawn.mean() == pytest.approx(0.5, abs=0.005)
    assert np.histogram(drawn, 10, (0, 1))[0] / drawn.size == pytest.approx(0.1, abs=0.004)
    for a, b in ((drawn[:, 1:], drawn[:, :-1]), (drawn[1:], drawn[:-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.015


def tokens_of(problem: Problem, request: Request, drafts: int) -> list[int]:
    """Tokens of the passes of a request, one after the other."""
    own = replace(problem.drafting[0], use=Use(drafts))
    row = row_of(replace(problem, drafting=(own,) * len(problem.clients)), request)[None]
    made, found = 1, []
    while made < request.output_tokens:
        most = min(drafts, request.output_tokens - made - 1)
        many = most + 1 if own.semantics == "standard" else max(1, most)
        found.append(tokens_made(row, 0, many, request.prompt_tokens + made))
        made += found[-1]
    return found


@pytest.mark.parametrize("semantics", ["standard", "petals"])
def test_passes_make_as_many_tokens_as_their_law_says(tiny: Problem, semantics: Semantics) -> None:
    vector = (0.9, 0.8, 0.75, 0.7, 0.6, 0.5)
    own = of(*vector, semantics=semantics)
    problem = replace(tiny, drafting=(own, own))
    chances = law(survival(vector), 5, own.semantics)
    expected = passes_needed(chances, 127)[-1]
    passes = [
        len(
            tokens_of(
                problem,
                Request(id=i, client=0, arrival_s=i / 7, prompt_tokens=9, output_tokens=128,
                        reserved_tokens=137),
                5,
            )
        )
        for i in range(600)
    ]  # fmt: skip
    spread = float(np.std(passes)) / np.sqrt(len(passes))
    assert np.mean(passes) == pytest.approx(expected, abs=4 * spread)


def test_a_draft_that_is_right_for_few_is_right_for_many(tiny: Problem) -> None:
    own = of(0.7)
    problem = replace(tiny, drafting=(own, own))
    request = Request(
        id=3, client=0, arrival_s=1.0, prompt_tokens=9, output_tokens=400, reserved_tokens=409
    )
    count = [len(tokens_of(problem, request, k)) for k in (1, 2, 4, 8)]
    assert count == sorted(count, reverse=True)
    # The places at which a draft is wrong are the same for all: few drafts stop there too.
    ends = [set(np.cumsum(tokens_of(problem, request, k)).tolist()) for k in (4, 8)]
    assert len(ends[0] & ends[1]) > len(ends[1]) / 2


def test_requests_of_different_draws_have_different_luck(tiny: Problem) -> None:
    request = Request(
        id=3, client=0, arrival_s=1.0, prompt_tokens=9, output_tokens=40, reserved_tokens=49
    )
    assert luck_of(request) != luck_of(replace(request, arrival_s=1.1))
    assert luck_of(request) == luck_of(replace(request, client=1, reserved_tokens=99))
    own = of(0.7, 0.5, tokens=4)
    row = row_of(replace(tiny, drafting=(own, own)), request)
    assert row[RIGHT:].tolist() == [0.7, 0.5, 0.5, 0.5, 0.5]


def test_a_pass_on_nf4_waits_in_line_for_every_block(tiny: Problem) -> None:
    """Two sessions on one server of four blocks, cut passes against whole ones."""
    own = of(1.0, tokens=3)
    timing = Timing(decode_base_s=0.1)
    server = replace(tiny.servers[0], memory_bytes=100_000, timing=timing, verify=((1.0, 1.0),))
    network = replace(
        tiny.network, client_rtt_s=np.zeros((2, 1)), server_rtt_s=np.zeros((1, 1)),
        step_overhead_s=0.0, prefill_overhead_s=0.0, prefill_overhead_per_token_s=0.0,
    )  # fmt: skip
    ends = []
    for task_tokens in (128, 1):
        problem = replace(
            tiny, servers=(replace(server, task_tokens=task_tokens),), network=network,
            drafting=(own, own),
        )  # fmt: skip
        cost = CostModel.of(problem)
        placement: Placement = cost.placed([(0, 6)])
        requests = [
            Request(id=i, client=0, arrival_s=0.0, prompt_tokens=1, output_tokens=5,
                    reserved_tokens=6)
            for i in range(2)
        ]  # fmt: skip
        router = PetalsRouting()(cost, placement)
        ends.append(simulate(problem, placement, router, requests).finish_s.tolist())
    # One pass of four tokens, 0.6 s of work: whole, or block by block, of which the first session's
    # come at the same instants as the other's prompt and first block, and go first.
    assert ends[0] == pytest.approx([0.6, 1.2])
    assert ends[1] == pytest.approx([1.0, 1.2])


def test_nobody_drafts_past_the_reservation(tiny: Problem) -> None:
    own = of(1.0, draft_s=1.0, tokens=60)
    problem = replace(tiny, drafting=(own, own))
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)], cache_bytes=[9_000, 0, 0, 0])
    request = Request(
        id=0, client=0, arrival_s=0.0, prompt_tokens=4, output_tokens=8, reserved_tokens=12
    )
    result = simulate(problem, placement, Overlap(cost, placement), [request])
    assert 6.0 < result.response_s[0] - result.ttft_s[0] < 6.2  # 6 drafts: the 8th is the target's


def test_a_lone_session_takes_what_the_closed_form_says(tiny: Problem) -> None:
    own = of(0.7, draft_s=0.01, tokens=4)
    servers = tuple(replace(s, verify=((2.0, 1.5),)) for s in tiny.servers)
    problem = replace(tiny, servers=servers, drafting=(own, own))
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)], cache_bytes=[9_000, 0, 0, 0])
    requests = [
        Request(id=i, client=0, arrival_s=1e4 * i, prompt_tokens=4, output_tokens=128,
                reserved_tokens=132)
        for i in range(400)
    ]  # fmt: skip
    result = simulate(problem, placement, Overlap(cost, placement), requests)
    route = result.routes[0]
    assert route is not None
    said = cost.route_time(route, cost.shape(0, 4, 128)).total_s
    assert result.passes.mean() == pytest.approx(127 * cost.shape(0, 4, 128).passes, rel=0.02)
    assert result.tokens_per_pass == pytest.approx(127 / result.passes.mean())
    # The last pass drafts for what is left only.
    assert result.response_s.mean() == pytest.approx(said, rel=0.015)
    assert cost.shape(0, 4, 128).passes == pytest.approx(
        1 / tokens_per_pass(survival((0.7,)), 4), rel=0.03
    )


@pytest.mark.parametrize(("draft_s", "drafts"), [(0.004, 5), (0.03, 4)])
def test_who_drafts_while_others_verify_takes_what_the_closed_form_says(
    tiny: Problem, draft_s: float, drafts: int
) -> None:
    """Where drafts take less than a pass, and where they take longer."""
    own = of(0.8, draft_s=draft_s, tokens=drafts, ahead=True)
    servers = tuple(replace(s, verify=((2.0, 1.0),)) for s in tiny.servers)
    problem = replace(tiny, servers=servers, drafting=(own, own))
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)], cache_bytes=[90_000, 0, 0, 0])
    requests = [
        Request(id=i, client=0, arrival_s=1e4 * i, prompt_tokens=4, output_tokens=512,
                reserved_tokens=516)
        for i in range(200)
    ]  # fmt: skip
    result = simulate(problem, placement, Overlap(cost, placement), requests)
    route, paid = result.routes[0], cost.shape(0, 4, 512)
    assert route is not None
    assert result.tpot_s.mean() == pytest.approx(cost.step_s(route, paid), rel=0.02)
    verify_s = cost.relaying.step_s(paid, [(0, 0, 6)]) / paid.passes
    said = two_deep_s(survival((0.8,)), drafts, verify_s, draft_s)
    assert cost.step_s(route, paid) == pytest.approx(said, rel=0.01)
    serial = replace(problem, drafting=(replace(own, ahead=False),) * 2)
    assert CostModel.of(serial).step_s(route, CostModel.of(serial).shape(0, 4, 512)) > said


SCRIPT = """
import json
from swarmplan.tests.simulator.test_drafts import rehearsed
print(json.dumps(rehearsed(11)))
"""


def rehearsed(seed: int) -> list[str]:
    """Responses of a case in which clients draft, to the last bit."""
    cost, placement, requests = case_of(seed)
    rng = np.random.default_rng(seed)
    cost = CostModel.of(drafting(cost.problem, rng))
    found = Rehearsal(cost, with_room(requests, rng))(placement)
    return [t.hex() for t in found.response_s.tolist()]


def test_compiled_or_as_plain_python_it_is_equal_to_the_last_bit() -> None:
    assert any(use.tokens for use in drafting(case_of(11)[0].problem,
                                              np.random.default_rng(11)).drafts)  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    assert json.loads(done.stdout) == rehearsed(11)
