"""What is wrong with placements and routes: each rule by itself, in whole bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.soundness import misplaced, misrouted, overfull, uncovered, unmet, unsound
from swarmplan.core.constraints import Constraints, Loss, ServerSpan
from swarmplan.core.findings import Finding
from swarmplan.core.plan import Hop, Placement, PlannedRoute, Route
from swarmplan.core.problem import Problem
from swarmplan.core.workload import Demand
from swarmplan.perfmodel.cost import CostModel
from swarmplan.tests.placement.offline import uneven

Make = Callable[..., Problem]
Place = Callable[[np.random.Generator, Problem], Placement]


def texts(findings: Sequence[Finding]) -> list[str]:
    return [str(f) for f in findings]


def planned(*hops: tuple[int, int, int], client: int = 0, sessions: int = 1) -> PlannedRoute:
    route = Route(hops=tuple(Hop(server=j, start=s, end=e) for j, s, e in hops))
    return PlannedRoute(client=client, sessions=sessions, route=route)


@given(seed=st.integers(0, 10**6), unequal=st.booleans())
def test_a_pool_may_take_all_that_the_weights_leave_and_not_a_byte_more(
    make_problem: Make, make_placement: Place, seed: int, unequal: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng)
    cost = CostModel.of(uneven(problem, rng) if unequal else problem)
    placement = make_placement(rng, cost.problem)
    full = cost.room_bytes(placement.start, placement.end)
    assert list(misplaced(cost, replace(placement, cache_bytes=full))) == []
    for j in range(5):
        more = full.copy()
        more[j] += 1
        (found,) = misplaced(cost, replace(placement, cache_bytes=more))
        assert found.where == f"placement of s{j}"
        assert "GB, the server has" in found.message


def test_a_span_outside_the_model_and_too_many_blocks_are_told(tiny: Problem) -> None:
    capped = replace(tiny.servers[1], max_blocks=2)
    cost = CostModel.of(replace(tiny, servers=(tiny.servers[0], capped, *tiny.servers[2:])))
    fine = cost.placed([(0, 3), (0, 2), (3, 6), (0, 0)])
    odd = replace(fine, start=np.array([0, 0, 3, -1]), end=np.array([7, 3, 6, 0]))
    found = misplaced(cost, replace(odd, cache_bytes=np.array([0, 0, -5, 0])))
    assert sorted(texts(list(found))) == [
        "placement of fast: blocks 0:7 are not within 0:6",
        "placement of slow-0: 3 blocks, at most 2 allowed",
        "placement of slow-1: negative cache pool of -5 bytes",
        "placement of slow-2: blocks -1:0 are not within 0:6",
    ]
    (told,) = misplaced(cost, replace(fine, end=fine.end[:-1]))
    assert told.where == "placement"


def test_blocks_without_a_server_are_named_one_by_one(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    found = uncovered(cost, cost.placed([(0, 2), (3, 4), (0, 0), (0, 2)]))
    assert [f.where for f in found] == ["block 2", "block 4", "block 5"]


@pytest.mark.parametrize(
    ("hops", "messages"),
    [
        ([(0, 0, 4), (1, 4, 6)], []),
        ([(0, 0, 4), (1, 3, 6)], ["enters slow-0 at block 3, but is at block 4"]),
        ([(0, 0, 3), (1, 3, 6)], ["leaves fast at block 3, a request runs to the span's end 4"]),
        ([(0, 0, 4), (2, 4, 6)], ["runs blocks 4:6 at slow-1, which hosts 0:3"]),
        ([(2, 0, 3), (1, 3, 7)], [
            "runs blocks 3:7 at slow-0, which hosts 3:6", "ends at block 7, the model has 6"
        ]),
        ([(2, 0, 3), (0, 3, 3), (1, 3, 6)], ["runs blocks 3:3 at fast, which hosts 0:4"]),
        ([(0, 0, 4)], ["ends at block 4, the model has 6"]),
        ([(0, 0, 4), (4, 4, 6)], ["unknown server row 4"]),
        ([(0, 0, 4), (-1, 4, 6)], ["unknown server row -1"]),
        ([(0, 0, 4), (1, 4, 6), (1, 4, 6)], [
            "passes slow-0 twice",
            "enters slow-0 at block 4, but is at block 6",
        ]),
    ],
)  # fmt: skip
def test_a_route_tiles_the_model_by_the_rule_of_petals(
    tiny: Problem, hops: list[tuple[int, int, int]], messages: list[str]
) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (3, 6), (0, 3), (0, 0)])
    assert [f.message for f in misrouted(cost, placement, [planned(*hops)])] == messages


def test_routes_name_known_clients_and_carry_sessions(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 4), (3, 6), (0, 3), (0, 0)])
    chain = ((0, 0, 4), (1, 4, 6))
    routes = [planned(*chain, client=2), planned(*chain, sessions=0)]
    assert texts(list(misrouted(cost, placement, routes))) == [
        "routes[0]: unknown client row 2",
        "routes[1]: 0 sessions",
    ]


@given(seed=st.integers(0, 10**6), unequal=st.booleans(), tokens=st.integers(1, 60))
def test_all_sessions_together_fit_to_the_byte(
    make_problem: Make, seed: int, unequal: bool, tokens: int
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, servers=2)
    cost = CostModel.of(uneven(problem, rng) if unequal else problem)
    cut = int(rng.integers(1, 6))
    sessions = rng.integers(1, 5, 2).tolist()
    routes = [
        planned((0, 0, cut), (1, cut, 6), client=c, sessions=k) for c, k in enumerate(sessions)
    ]
    # The first client's sessions hold ``tokens``, the second one's the planned 20.
    held = tokens * sessions[0] + 20 * sessions[1]
    need = [int(cost.cache_bytes(held, *span)) for span in ((0, cut), (cut, 6))]
    spans: dict[str, Any] = {"start": np.array([0, cut]), "end": np.array([cut, 6])}
    enough = Placement(**spans, cache_bytes=np.array(need))
    assert list(overfull(cost, enough, routes, {0: tokens})) == []
    short = Placement(**spans, cache_bytes=np.array(need) - [0, 1])
    assert [f.where for f in overfull(cost, short, routes, {0: tokens})] == ["cache of s1"]


def test_more_sessions_than_an_integer_holds_are_counted_too(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)])
    found = list(overfull(cost, placement, [planned((0, 0, 6), sessions=10**25)]))
    assert [f.where for f in found] == ["cache of fast"]


def test_hops_outside_the_model_hold_nothing_and_hide_nothing(tiny: Problem) -> None:
    """They are told with their route; here they neither fill a pool nor empty it."""
    problem = uneven(tiny, np.random.default_rng(0))
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 0), (0, 3), (0, 0), (0, 0)])
    for odd in ((4, 0, 6), (-1, 0, 6), (1, 0, 7), (1, -1, 6), (1, 3, 0), (1, 9, 9)):
        assert list(overfull(cost, placement, [planned(odd, sessions=10**6)])) == []
        full = [planned((1, 0, 3), sessions=10**6), planned(odd, sessions=10**7)]
        assert [f.where for f in overfull(cost, placement, full)] == ["cache of slow-0"]


def test_demands_of_the_operator_are_told_one_by_one(tiny: Problem) -> None:
    asked = Constraints(
        copies=2,
        survive=(Loss(name="fast", servers=frozenset({0})),),
        # The first pin is met.
        pinned=(ServerSpan(server=0, start=0, end=4), ServerSpan(server=3, start=0, end=2)),
        forbidden=(ServerSpan(server=1, start=2, end=4),),
    )
    problem = replace(tiny, planning=replace(tiny.planning, constraints=asked))
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 4), (3, 6), (0, 3), (0, 0)])
    assert texts(list(unmet(cost, placement))) == [
        "blocks 4:6: 2 of 6 blocks lack servers for: every block on 2 servers",
        "placement of slow-2: hosts blocks 0:0, is pinned to 0:2",
        "placement of slow-0: hosts forbidden blocks 3:4",
    ]
    # A host without cache for one session on all its blocks is none; 660 bytes hold one.
    assert len(list(unmet(cost, replace(placement, cache_bytes=np.array([880, 660, 660, 0]))))) == 3
    idle = replace(placement, cache_bytes=np.array([2_000, 1_000, 659, 0]))
    assert texts(list(unmet(cost, idle)))[:2] == [
        "blocks 0:6: 5 of 6 blocks lack servers for: every block on 2 servers",
        "blocks 0:3: 3 of 6 blocks lack servers for: all blocks without fast",
    ]


def test_a_plan_is_held_against_the_demand_it_should_serve(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 5), (3, 6), (0, 0), (0, 0)])
    chain = ((0, 0, 5), (1, 5, 6))
    routes = [planned(*chain, client=0, sessions=1), planned(*chain, client=1, sessions=1)]

    def demand(*wanted: tuple[int, int]) -> list[Demand]:
        return [
            Demand(client=c, sessions=1, weight_tokens=1.0, cache_tokens=tokens)
            for c, tokens in wanted
        ]

    # 1,000 bytes on five blocks: 20 tokens at most.
    assert unsound(cost, placement, routes, demand((0, 12), (1, 8))) == ()
    over = unsound(cost, placement, routes, demand((0, 12), (1, 9)))
    assert [f.where for f in over] == ["cache of fast"]
    assert texts(unsound(cost, placement, routes, demand((0, 8)))) == [
        "cache of fast: the planned sessions hold 0.000 GB of cache, the pool has 0.000 GB",
        "client row 1: 1 of 0 sessions have a route",
    ]
    assert texts(unsound(cost, placement, routes[:1], demand((0, 8), (1, 8)))) == [
        "client row 1: 0 of 1 sessions have a route"
    ]
