"""Methods that look at every pair refuse swarms that are too large, with one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmplan import api
from swarmplan.core.errors import HeuristicFailedError
from swarmplan.core.problem import Problem
from swarmplan.methods import latency
from swarmplan.methods.draft import Settings
from swarmplan.perfmodel import room
from swarmplan.placement.sessions import task_of
from swarmplan.solve.deadline import Deadline


@pytest.mark.parametrize("name", ["exact", "flow", "stages"])
def test_what_would_take_too_much_memory_is_refused(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", 500)
    with pytest.raises(HeuristicFailedError, match=f"^{name}: 4 servers would take") as refused:
        api.plan(tiny, name)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 4


def test_least_latency_keeps_its_plan_where_the_exact_method_has_no_room(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", 500)
    made = latency.least_latency(task_of(tiny, sessions=2, deadline=Deadline.after(1.0)))
    assert "exact" not in [c.placement for c in made.candidates]
    assert made.certificate is not None
    assert made.certificate.objective.bound is not None


@pytest.mark.parametrize("router", ["flow", "max-flow"])
def test_routers_of_the_fluid_model_decide_as_ws_rr_where_it_has_no_room(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch, router: str
) -> None:
    batching = replace(tiny, servers=tuple(replace(s, sharing="batched") for s in tiny.servers))
    plan = api.plan(batching, "cg-bp")
    monkeypatch.setattr(room, "MOST_BYTES", 500)
    found, plain = (
        api.simulate(batching, replace(plan, router=r), requests=20, seed=1)
        for r in (router, "ws-rr")
    )
    assert found.routes == plain.routes


def test_most_throughput_plans_without_the_fluid_model_where_it_has_no_room(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    batching = replace(tiny, servers=tuple(replace(s, sharing="batched") for s in tiny.servers))
    monkeypatch.setattr(room, "MOST_BYTES", 500)
    made = api.plan(batching, "auto", settings=Settings(time_limit_s=5.0, aim="throughput"))
    names = [c.placement for c in made.candidates]
    assert names
    assert not [n for n in names if "stages" in n or n == "flow"]
