"""The verifier: a sound plan passes, every single change to it is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan import api
from swarmplan.core.errors import SwarmplanError
from swarmplan.core.objective import STEP, Objective
from swarmplan.core.plan import Certificate, Hop, Plan, PlannedRoute, Route
from swarmplan.core.problem import Problem
from swarmplan.methods.verify import sound, verify
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.predict import predict, step_objective_s

ARRAYS = ("start", "end", "cache_bytes")


def tight(problem: Problem) -> Plan:
    """Two chains of two servers, every byte of memory in use, every server on a route."""
    routes = tuple(
        PlannedRoute(
            client=c,
            sessions=1,
            route=Route(
                hops=(Hop(server=2 * c, start=0, end=3), Hop(server=2 * c + 1, start=3, end=6))
            ),
        )
        for c in range(2)
    )
    cost = CostModel.of(problem)
    value = step_objective_s(cost, routes)
    return Plan(
        method="manual",
        placement=cost.placed([(0, 3), (3, 6)] * 2),
        routes=routes,
        predicted=predict(cost, routes),
        certificate=Certificate(
            objective=Objective(goal=STEP, value=value, bound=value),
            proof="enumeration",
        ),
        sessions=2,
    )


@pytest.fixture
def snug(tiny: Problem) -> Problem:
    """The tiny problem with memory for exactly three blocks and one session each."""
    servers = tuple(dataclasses.replace(s, memory_bytes=3_000 + 3 * 220) for s in tiny.servers)
    return dataclasses.replace(tiny, servers=servers)


def with_array(plan: Plan, name: str, j: int, value: int) -> Plan:
    array = getattr(plan.placement, name).copy()
    array[j] = value
    return dataclasses.replace(plan, placement=dataclasses.replace(plan.placement, **{name: array}))


def with_hops(plan: Plan, r: int, hops: tuple[Hop, ...]) -> Plan:
    changed = dataclasses.replace(plan.routes[r], route=Route(hops=hops))
    return dataclasses.replace(plan, routes=(*plan.routes[:r], changed, *plan.routes[r + 1 :]))


def with_route(plan: Plan, r: int, **fields: Any) -> Plan:
    changed = dataclasses.replace(plan.routes[r], **fields)
    return dataclasses.replace(plan, routes=(*plan.routes[:r], changed, *plan.routes[r + 1 :]))


def placement_changes(plan: Plan) -> Iterator[tuple[str, Plan]]:
    for name in ARRAYS:
        for j in range(4):
            old = int(getattr(plan.placement, name)[j])
            for new in {old - 1, old + 1, 0, -1, 6, 7, 10**15} - {old}:
                yield f"{name}[{j}] = {new}", with_array(plan, name, j, new)
        short = getattr(plan.placement, name)[:-1]
        changed = dataclasses.replace(plan.placement, **{name: short})
        yield f"{name} one short", dataclasses.replace(plan, placement=changed)


def route_changes(plan: Plan) -> Iterator[tuple[str, Plan]]:
    for r, planned in enumerate(plan.routes):
        hops = planned.route.hops
        for h, hop in enumerate(hops):
            for name in ("server", "start", "end"):
                old = getattr(hop, name)
                for new in {old - 1, old + 1, -1, 7, 4} - {old}:
                    changed = dataclasses.replace(hop, **{name: new})
                    yield (
                        f"hop {r}.{h}.{name} = {new}",
                        with_hops(plan, r, (*hops[:h], changed, *hops[h + 1 :])),
                    )
            yield f"hop {r}.{h} dropped", with_hops(plan, r, (*hops[:h], *hops[h + 1 :]))
            yield f"hop {r}.{h} twice", with_hops(plan, r, (*hops[: h + 1], *hops[h:]))
        yield f"route {r} reversed", with_hops(plan, r, hops[::-1])
        yield f"route {r} empty", with_hops(plan, r, ())
        for sessions in (-1, 0, 2, 10**25):
            yield f"route {r} sessions {sessions}", with_route(plan, r, sessions=sessions)
        for client in {-1, 0, 1, 2} - {planned.client}:
            yield f"route {r} client {client}", with_route(plan, r, client=client)
        rest = (*plan.routes[:r], *plan.routes[r + 1 :])
        yield f"route {r} dropped", dataclasses.replace(plan, routes=rest)
        twice = (*plan.routes, planned)
        yield f"route {r} twice", dataclasses.replace(plan, routes=twice)
    yield "one session fewer", dataclasses.replace(plan, sessions=1)
    yield "no routes", dataclasses.replace(plan, routes=())


def figure_changes(plan: Plan) -> Iterator[tuple[str, Plan]]:
    for p, figure in enumerate(plan.predicted):
        rest = (*plan.predicted[:p], *plan.predicted[p + 1 :])
        for name in ("ttft_s", "tpot_s", "response_s"):
            old = getattr(figure, name)
            for new in (0.0, old * (1 + 1e-5), -old, float("nan"), float("inf")):
                changed = dataclasses.replace(figure, **dict[str, Any]({name: new}))
                yield f"{name} = {new}", dataclasses.replace(plan, predicted=(*rest, changed))
        yield f"figure {p} dropped", dataclasses.replace(plan, predicted=rest)
        yield f"figure {p} twice", dataclasses.replace(plan, predicted=(*plan.predicted, figure))
        other = dataclasses.replace(figure, client=1 - figure.client)
        yield f"figure {p} of another", dataclasses.replace(plan, predicted=(*rest, other))
    proof, reached = plan.certificate, plan.certificate.objective
    assert reached.value is not None
    figures: list[dict[str, Any]] = [
        {"value": reached.value * 1.01},
        {"value": reached.value * 0.99},
        {"value": None},
        {"value": float("nan")},
        {"bound": None},
        {"bound": reached.value * 1.01},
        {"bound": float("nan")},
        {"bound": float("inf")},
    ]
    changes: list[dict[str, Any]] = [
        *({"objective": dataclasses.replace(reached, **change)} for change in figures),
    ]
    for change in changes:
        proved = dataclasses.replace(proof, **change)
        yield f"certificate {change}", dataclasses.replace(plan, certificate=proved)


CHANGES: tuple[Callable[[Plan], Iterator[tuple[str, Plan]]], ...] = (
    placement_changes,
    route_changes,
    figure_changes,
)


def test_the_sound_plan_has_no_violation(snug: Problem) -> None:
    assert verify(snug, tight(snug)) == ()


@pytest.mark.parametrize("changes", CHANGES, ids=lambda c: c.__name__)
def test_every_single_change_to_a_sound_plan_is_found(
    snug: Problem, changes: Callable[[Plan], Iterator[tuple[str, Plan]]]
) -> None:
    unseen = [what for what, plan in changes(tight(snug)) if sound(verify(snug, plan))]
    assert unseen == []


def test_all_violations_are_listed_not_only_the_first(snug: Problem) -> None:
    plan = with_array(tight(snug), "cache_bytes", 0, 10**6)
    plan = with_hops(plan, 1, plan.routes[1].route.hops[:1])
    plan = dataclasses.replace(plan, sessions=1)
    found = [f.where for f in verify(snug, plan)]
    assert found == ["placement of fast", "routes[1]", "sessions"]


def test_sessions_find_no_room_only_where_less_than_one_fits(tiny: Problem) -> None:
    # Memory for three blocks with one session each and two thirds of another session.
    servers = tuple(dataclasses.replace(s, memory_bytes=3_000 + 5 * 220) for s in tiny.servers)
    problem = dataclasses.replace(tiny, servers=servers)
    plan = tight(problem)

    def told(plan: Plan) -> list[str]:
        return [f.message for f in verify(problem, plan) if "there is room" in f.message]

    assert told(dataclasses.replace(plan, sessions=4, unrouted=2)) == []
    for r in range(2):
        fewer = dataclasses.replace(plan, unrouted=1, routes=plan.routes[r : r + 1])
        name = problem.clients[1 - r].id
        text = f"1 sessions of client {name} have no route although there is room"
        assert told(fewer) == [text]


def test_a_block_without_a_server_is_named(snug: Problem) -> None:
    placement = CostModel.of(snug).placed([(0, 3), (4, 6)] * 2)
    plan = dataclasses.replace(tight(snug), placement=placement)
    assert [f.where for f in verify(snug, plan)][:1] == ["block 3"]


@given(seed=st.integers(0, 10**6), method=st.sampled_from(["cg-bp", "petals", "whole-model"]))
def test_whatever_a_method_plans_is_sound(
    make_problem: Callable[..., Problem], seed: int, method: str
) -> None:
    rng = np.random.default_rng(seed)
    problem = make_problem(rng, relay=str(rng.choice(["client", "server"])))
    try:
        plan = api.plan(problem, method, seed=seed)
    except (SwarmplanError, UserWarning):  # idle servers are warned of, and warnings are errors
        return
    assert verify(problem, plan) == ()
