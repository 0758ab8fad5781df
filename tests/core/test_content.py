"""Frozen data with arrays: equal by content, usable as keys, never to be written."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan import api
from swarmplan.core.content import frozen_array
from swarmplan.core.drafting import Use
from swarmplan.core.plan import Candidate, Placement
from swarmplan.core.problem import Problem
from swarmplan.core.uplinks import Uplink
from swarmplan.core.workload import Lengths, Workload

Change = tuple[str, Any]


def assert_every_field_counts(
    content: Any, changes: list[Change], *, but: AbstractSet[str] = frozenset()
) -> None:
    """Each change of one field makes other content, and no field is left out."""
    assert {name for name, _ in changes} == {f.name for f in fields(content)} - but
    changed = [replace(content, **{name: value}) for name, value in changes]
    assert len({content, *changed}) == len(changed) + 1


def placed() -> Placement:
    return Placement(
        start=np.array([0, 0, 3, 0]),
        end=np.array([6, 3, 6, 0]),
        cache_bytes=np.array([0, 220, 220, 0]),
    )


def test_placements_are_equal_when_their_arrays_are() -> None:
    assert placed() == placed()
    assert len({placed(), placed()}) == 1
    assert placed() != "a placement"


def test_every_field_of_a_placement_counts() -> None:
    changes: list[Change] = [
        ("start", np.array([1, 0, 3, 0])),
        ("end", np.array([5, 3, 6, 0])),
        ("cache_bytes", np.array([0, 220, 220, 1])),
        ("order", (1, 0)),
        ("precision", ("nf4", "bf16")),
        ("wire", ("none", "uniform_8bit")),
        ("adapters", (("a",), (), (), ())),
    ]
    assert_every_field_counts(placed(), changes)


def test_every_field_of_a_network_counts(tiny: Problem) -> None:
    net = replace(tiny.network, relay="pipeline")
    same = replace(net, client_rtt_s=net.client_rtt_s.copy())
    assert (same, hash(same)) == (net, hash(net))
    changes: list[Change] = [
        ("client_rtt_s", net.client_rtt_s + 0.001),
        ("server_rtt_s", np.asarray(net.server_rtt_s) + 0.001),
        ("step_overhead_s", 0.5),
        ("prefill_overhead_s", 0.5),
        ("prefill_overhead_per_token_s", 0.5),
        ("client_bandwidth_bytes_per_s", np.ones((2, 4))),
        ("server_bandwidth_bytes_per_s", np.ones((4, 4))),
        ("uplinks", (Uplink(name="home", clients=(0,)),)),
        ("wire_s_per_token", (("uniform_8bit", 0.5),)),
        ("relay", "server"),
    ]
    assert_every_field_counts(net, changes)


def test_the_same_numbers_in_another_shape_or_type_are_another_content() -> None:
    flat = Lengths(values=(1,), predicted=np.ones((1, 4)))
    assert flat != replace(flat, predicted=np.ones((2, 2)))
    assert flat != replace(flat, predicted=np.ones((1, 4), np.float32))
    assert flat != replace(flat, predicted=None)
    assert flat == replace(flat, predicted=np.ones((1, 4)))


def test_predictions_are_part_of_a_workload(tiny: Problem) -> None:
    load = tiny.workload
    stream = load.classes[0]

    def with_predicted(level: float) -> Workload:
        lengths = replace(stream.output_tokens, predicted=np.full((1, 3), level))
        return replace(load, classes=(replace(stream, output_tokens=lengths),))

    def traced(level: float) -> Workload:
        return replace(load, trace_predicted=np.full((1, 3), level))

    for make in (with_predicted, traced):
        assert make(1.0) == make(1.0)
        assert hash(make(1.0)) == hash(make(1.0))
        assert make(1.0) != make(2.0)
    assert load != replace(load, num_requests=99)


def test_problems_are_equal_when_everything_in_them_is(tiny: Problem) -> None:
    same = replace(
        tiny,
        network=replace(tiny.network, server_rtt_s=np.array(tiny.network.server_rtt_s)),
        workload=replace(tiny.workload),
    )
    assert (same, hash(same)) == (tiny, hash(tiny))
    others = [
        replace(tiny, network=replace(tiny.network, relay="server")),
        replace(tiny, workload=replace(tiny.workload, num_requests=99)),
        replace(tiny, planning=replace(tiny.planning, sessions=3)),
        replace(tiny, model=replace(tiny.model, cache_bytes_per_token=(10,) * 5 + (11,))),
        replace(tiny, servers=(replace(tiny.servers[0], max_blocks=5), *tiny.servers[1:])),
        replace(tiny, clients=tiny.clients[::-1]),
        replace(tiny, session_setup_s=0.5),
        replace(tiny, alloc_delay_s=0.5),
    ]
    assert len({tiny, *others}) == len(others) + 1


def test_every_field_of_a_plan_counts_but_remarks(tiny: Problem) -> None:
    plan = api.plan(tiny, "cg-bp")
    assert plan == api.plan(tiny, "cg-bp")
    assert replace(plan, remarks=("read from an older file",)) == plan
    first, *rest = plan.routes
    other = Candidate(
        placement="hand", router="ws-rr", bound=None, figure=None, requests=0, verdict="chosen"
    )
    changes: list[Change] = [
        ("method", "hand"),
        ("placement", replace(plan.placement, cache_bytes=plan.placement.cache_bytes // 2)),
        ("routes", (replace(first, sessions=first.sessions + 1), *rest)),
        ("predicted", ()),
        ("certificate", replace(plan.certificate, interrupted=True)),
        ("sessions", 9),
        ("unrouted", 1),
        ("seed", 1),
        ("notes", ("another",)),
        ("router", "jffc"),
        ("candidates", (other,)),
        ("drafts", (Use(2),)),
    ]
    assert_every_field_counts(plan, changes, but={"remarks", "throughput"})


def test_arrays_are_copied_and_cannot_be_written() -> None:
    given_array = np.array([1, 2, 3])
    frozen = frozen_array(given_array, np.float64)
    given_array[0] = 9
    assert frozen.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="read-only"):
        frozen[0] = 9.0


@given(seed=st.integers(0, 10**6))
def test_the_same_seed_makes_an_equal_problem(
    make_problem: Callable[..., Problem], seed: int
) -> None:
    first, second = (make_problem(np.random.default_rng(seed)) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert make_problem(np.random.default_rng(seed + 1)) != first
