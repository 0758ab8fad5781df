"""When the leaders of a race are improved."""

from collections.abc import Callable

import numpy as np
import pytest

from swarmplan.core.problem import Problem
from swarmplan.methods import improving
from swarmplan.methods.improving import affords_moves
from swarmplan.placement.sessions import task_of
from swarmplan.solve.deadline import NEVER, Deadline


def test_plans_are_improved_where_there_is_work_for_enough_moves_of_every_server(
    make_problem: Callable[..., Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(improving, "WORK_SHARE", 0.4)
    monkeypatch.setattr(improving, "SERVER_MOVES", 20)
    few, many = (make_problem(np.random.default_rng(1), servers=n) for n in (4, 40))

    def affords(problem: Problem, limit: Deadline) -> bool:
        return affords_moves(task_of(problem, deadline=limit))

    assert affords(few, Deadline.after(30.0))
    assert not affords(many, Deadline.after(30.0))
    assert affords(many, Deadline.after(300.0))
    assert affords(many, NEVER)
