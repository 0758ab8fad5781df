"""The bound on the rate: by hand, above every flow, growing with the swarm."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from swarmplan.chains.capacity import most_per_s, most_planned_per_s
from swarmplan.chains.sustain import sustained
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Mix
from swarmplan.perfmodel.capacity import most_per_s as computed_per_s
from swarmplan.perfmodel.cost import CostModel

MakeProblem = Callable[..., Problem]
MakePlacement = Callable[[np.random.Generator, Problem], Placement]


def mix(*rows: tuple[int, int, int, int], share: tuple[float, ...] = ()) -> Mix:
    return Mix.of(np.array(rows), np.array(share or [1.0 / len(rows)] * len(rows)))


def only(problem: Problem, rows: list[int], **server: Any) -> Problem:
    """The problem with some of its servers, changed alike."""
    network = problem.network
    return replace(
        problem,
        servers=tuple(replace(problem.servers[j], **server) for j in rows),
        network=replace(
            network,
            client_rtt_s=network.client_rtt_s[:, rows],
            server_rtt_s=network.server_rtt_s[np.ix_(rows, rows)],
        ),
    )


def test_compute_alone_binds_where_memory_is_ample(tiny: Problem) -> None:
    cost = CostModel.of(only(tiny, [0, 1], memory_bytes=10**9))
    work = [cost.work_s(11, 11)(j, 0, 1) for j in range(2)]
    most = most_per_s(cost, mix((0, 11, 11, 22)))
    assert most == pytest.approx(sum(1 / w for w in work) / 6)
    assert most == pytest.approx(computed_per_s(cost, ([11], [11])))


def test_memory_alone_binds_where_servers_compute_for_all_at_once(tiny: Problem) -> None:
    cost = CostModel.of(only(tiny, [0], memory_bytes=6_000 + 3 * 6 * 220, sharing="independent"))
    # Three sessions fit, each for as long as one takes alone on the only chain.
    route = cost.placed([(0, 6)])
    alone = cost.planned(0).hop_s[0] + cost.planned(0).run_s(0, 0, 6) + cost.opening_s
    most = most_per_s(cost, mix((0, 11, 11, 22)))
    assert most == pytest.approx(3 / alone)
    assert sustained(cost, route, mix((0, 11, 11, 22))).rate_per_s == pytest.approx(most)


def test_a_server_that_holds_few_blocks_does_not_count_whole(tiny: Problem) -> None:
    given = only(tiny, [0, 1], memory_bytes=10**9)
    slow = replace(given.servers[1], max_blocks=1)
    cost = CostModel.of(replace(given, servers=(given.servers[0], slow)))
    fast = cost.work_s(11, 11)(0, 0, 1)
    # The slow one runs at most one block of every request, the fast one the other five.
    assert most_per_s(cost, mix((0, 11, 11, 22))) == pytest.approx(1 / (5 * fast))


def test_servers_may_be_good_at_different_requests(tiny: Problem) -> None:
    given = only(tiny, [1, 2], memory_bytes=10**9)
    quick = replace(given.servers[0].timing, prefill_per_token_s=0.0)  # type: ignore[type-var]
    fluent = replace(given.servers[1].timing, decode_base_s=0.001)  # type: ignore[type-var]
    readers = replace(given.servers[0], timing=quick)
    writers = replace(given.servers[1], timing=fluent)
    cost = CostModel.of(replace(given, servers=(readers, writers)))
    read, write = (0, 100, 1, 101), (0, 1, 20, 21)
    apart = 0.0
    for first, second in ((read, write), (write, read)):
        works = cost.work_s(*first[1:3])(0, 0, 6), cost.work_s(*second[1:3])(1, 0, 6)
        apart = max(apart, 2 * min(1 / w for w in works))
    means = [np.mean([cost.work_s(*r[1:3])(j, 0, 6) for r in (read, write)]) for j in range(2)]
    assert apart > sum(1 / w for w in means)  # what alike requests would allow
    assert most_per_s(cost, mix(read, write)) >= apart
    assert computed_per_s(cost, ([100, 1], [1, 20])) >= apart


def test_requests_that_fit_nowhere_do_not_count(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    fits, huge = (0, 11, 11, 22), (0, 11, 11, 10**6)
    both = most_per_s(cost, mix(fits, huge))
    assert both == pytest.approx(2 * most_per_s(cost, mix(fits)))
    assert most_per_s(cost, mix(huge)) == 0.0


def test_a_batch_costs_at_least_what_its_further_sequences_do(tiny: Problem) -> None:
    given = only(tiny, [0, 1], memory_bytes=10**9, sharing="batched")
    cost = CostModel.of(given)
    prompt = [cost.prefill_run_s(11)(j, 0, 1) for j in range(2)]
    # decode_per_sequence_s is 0 here: only prompts are left.
    assert computed_per_s(cost, ([11], [11])) == pytest.approx(sum(1 / w for w in prompt) / 6)


def test_no_flow_of_any_placement_exceeds_the_bound(
    make_problem: MakeProblem, make_placement: MakePlacement
) -> None:
    reached = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        problem = make_problem(rng, relay="server" if seed % 3 == 0 else "client")
        cost, asked = CostModel.of(problem), mix((0, 10, 9, 20), (1, 10, 9, 20))
        most = most_per_s(cost, asked)
        rates = [sustained(cost, make_placement(rng, problem), asked).rate_per_s for _ in range(20)]
        assert max(rates) <= most * (1 + 1e-9)
        reached.append(max(rates) / most)
    assert max(reached) > 0.9


def test_a_further_server_never_lowers_the_bound(make_problem: MakeProblem) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        problem = make_problem(rng, servers=6)
        asked = mix((0, 10, 9, 40), (1, 30, 3, 40), share=(0.7, 0.3))
        rates = [
            most_per_s(CostModel.of(only(problem, list(range(count)))), asked)
            for count in range(2, 7)
        ]
        assert all(b >= a * (1 - 1e-8) for a, b in pairwise(rates))


def test_the_representative_request_stands_for_every_client(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    assert most_planned_per_s(cost) == most_per_s(cost, mix((0, 11, 11, 22), (1, 11, 11, 22)))
