"""Rounds of the runoff: how many requests, who goes on, when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from swarmplan.core.objective import MEAN_RESPONSE
from swarmplan.core.problem import Problem
from swarmplan.methods import runoff as module
from swarmplan.methods.draft import Settings
from swarmplan.methods.judge import Judge, judge_for
from swarmplan.methods.pairs import Pair, gain
from swarmplan.methods.race import Runner
from swarmplan.methods.runoff import Runoff
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.sessions import task_of
from swarmplan.placement.task import Task
from swarmplan.solve.deadline import NEVER, Deadline
from swarmplan.workload.load import at_load


@pytest.fixture
def task(tiny: Problem) -> Task:
    return task_of(at_load(tiny, 0.5), goal=MEAN_RESPONSE)


def judged(task: Task) -> tuple[list[int], Callable[[int], Judge]]:
    """What counts of requests judges are asked for."""
    asked: list[int] = []

    def raced(count: int) -> Judge:
        asked.append(count)
        return judge_for(task, Settings(), 11, 0, count)

    return asked, raced


def pairs(task: Task, *routers: str, request_s: float = 1e-4) -> list[Pair]:
    placement = CostModel.of(task.problem).placed([(0, 4), (0, 3), (3, 6), (4, 6)])
    return [
        Pair(
            Runner(name="ours", placement=placement, router=r, bound_s=1.0, alone_s=0.0), request_s
        )
        for r in routers
    ]


def limited(task: Task, work_s: float) -> Task:
    return replace(task, deadline=Deadline(limit_s=work_s / module.WORK_SHARE))


def test_rounds_grow_as_far_as_the_work_allows_and_not_beyond_the_most(task: Task) -> None:
    asked, raced = judged(task)
    first, *others = pairs(task, "shortest", "overlap", "overlap-slow-down")
    runoff = Runoff(limited(task, 1e3), NEVER, raced)
    runoff.run([first, *others])
    counts = list(dict.fromkeys(asked))
    assert counts[0] == runoff.first
    assert all(b >= min(1.5 * a, runoff.most) for a, b in pairwise(counts))
    assert all(b <= 6.0 * a for a, b in pairwise(counts))
    assert counts[-1] <= runoff.most


def test_no_round_takes_more_than_the_work_that_is_left(task: Task) -> None:
    """There is work for 360 more requests of one pair and the winner of the race."""
    asked, raced = judged(task)
    made = pairs(task, "shortest", "overlap", "overlap-slow-down")
    first = Runoff(task, NEVER, raced).first
    Runoff(limited(task, 1e-4 * (3 * first + 2 * 360)), NEVER, raced).run(made)
    assert set(asked) == {first, 350}
    assert sorted(p.runner.requests for p in made) == [first, 350, 350]


def test_a_trace_a_little_longer_than_the_first_round_ends(task: Task) -> None:
    _, raced = judged(task)
    runoff = Runoff(limited(task, 1e3), NEVER, raced)
    runoff.most = runoff.first + 20
    known, _ = runoff.run(pairs(task, "shortest", "overlap"))
    assert known.runner.requests == runoff.first


def test_one_that_is_left_alone_and_better_without_doubt_runs_no_longer(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for sure in (module.SETTLED, 1e9):
        monkeypatch.setattr(module, "SETTLED", sure)
        monkeypatch.setattr(module, "MOST", 3_000)
        asked, raced = judged(task)
        Runoff(limited(task, 1e3), NEVER, raced).run(pairs(task, "shortest", "overlap"))
        found.append(max(asked))
    assert found[0] < found[1]


@pytest.mark.parametrize(
    ("worse", "spread", "rounds", "goes_on"),
    [
        (0.05, 0.0, 1, False),
        (0.02, 0.0, 1, True),  # so few requests do not tell that
        (0.02, 0.0, 9, False),
        (0.07, 0.4, 1, True),  # it differs much: it may come first
        (0.07, 0.4, 9, True),
        (0.40, 0.4, 1, False),
    ],
)
def test_a_pair_goes_on_as_long_as_its_requests_leave_it_a_chance(
    task: Task, worse: float, spread: float, rounds: int, goes_on: bool
) -> None:
    runoff = Runoff(limited(task, 1e3), NEVER, judged(task)[1])
    known, pair = pairs(task, "shortest", "overlap")
    for one in (known, pair):
        one.runner.requests = rounds * runoff.first
        one.response_s = np.full(one.runner.requests, 100.0)
    for i, block in enumerate(np.array_split(pair.response_s, 6)):
        block += 100.0 * (worse + spread * (-0.5 if i % 2 else 0.5))
    assert runoff.may_win(pair, known) is goes_on


def test_neighbours_that_fare_alike_do_not_make_a_gain_surer_than_it_is(task: Task) -> None:
    """Two hundred requests, thirty of which are in flight at once: nothing is to be gained."""
    known, pair = pairs(task, "shortest", "overlap")
    known.response_s, rng = np.full(200, 100.0), np.random.default_rng(0)
    held = 0
    for _ in range(400):
        alike = np.repeat(rng.normal(0.0, 0.2, 8), 30)[rng.integers(30) :][:200]
        pair.response_s = 100.0 * (1.0 + alike)
        found = gain(pair, known, task.goal)
        held += abs(found.mean) <= found.half_width
    assert held >= 0.9 * 400


def test_of_pairs_whose_requests_fare_alike_one_runs_on(task: Task) -> None:
    _, raced = judged(task)
    made = pairs(task, "shortest", "overlap", "overlap", "shortest")
    runoff = Runoff(limited(task, 1e3), NEVER, raced)
    runoff.run(made)
    ran = [p.runner.requests for p in made]
    assert ran[1] > runoff.first
    assert ran[2] == ran[3] == runoff.first
