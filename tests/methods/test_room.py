"""Methods that look at every pair refuse swarms that are too large, with one line."""

from __future__ import annotations

import pytest

from swarmplan import api
from swarmplan.core.errors import HeuristicFailedError
from swarmplan.core.problem import Problem
from swarmplan.methods import latency, room
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
    monkeypatch.setattr(latency, "MOST_BYTES", 500)
    made = latency.least_latency(task_of(tiny, sessions=2, deadline=Deadline.after(1.0)))
    assert "exact" not in [c.placement for c in made.candidates]
    assert made.certificate is not None
    assert made.certificate.objective.bound is not None
