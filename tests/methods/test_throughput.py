"""Candidates for throughput: who is looked at while there is time, and who comes first."""

from __future__ import annotations

import pytest

from swarmplan.chains.lines import queued_per_s
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.methods import throughput
from swarmplan.methods.draft import Settings
from swarmplan.methods.throughput import most_throughput
from swarmplan.placement.sessions import task_of
from swarmplan.solve.deadline import Deadline


@pytest.mark.parametrize("late", [False, True])
def test_lines_are_looked_at_while_there_is_time_and_at_one_whatever_the_time(
    tiny: Problem, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    looked: list[Placement] = []

    def counted(*given: object) -> float:
        looked.append(given[1])  # type: ignore[arg-type]
        return queued_per_s(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(throughput, "queued_per_s", counted)
    deadline = Deadline(at_s=0.0, limit_s=10.0) if late else Deadline.after(60.0)
    made = most_throughput(task_of(tiny, deadline=deadline), Settings())
    assert made.candidates[0].verdict == "chosen"
    assert (len(looked) == 1) is late
    simulated = [c for c in made.candidates if c.figure is not None]
    assert (len(simulated) == 1) is late
