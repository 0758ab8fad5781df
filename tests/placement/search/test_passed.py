"""Plans that a search comes by."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.soundness import misplaced
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.placement.search.passed import MOST, Passed
from swarmplan.placement.search.solve import placed_by_search, placements_by_search
from swarmplan.placement.search.state import State
from swarmplan.placement.sessions import for_sessions, task_of


class Numbered(State):
    """A state with a placement of its own."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def plan(self) -> tuple[Placement, tuple[()]]:
        one = np.array([self.number])
        return Placement(start=0 * one, end=one, cache_bytes=0 * one), ()


@given(st.integers(0, 400))
def test_those_that_are_kept_lie_evenly_and_reach_to_both_ends(count: int) -> None:
    passed = Passed()
    for number in range(1, count + 1):
        passed.offer(Numbered(number))
    kept = [int(p.end[0]) for p in passed.placements()]
    assert min(count, MOST // 2) <= len(kept) <= MOST
    apart = {late - early for early, late in itertools.pairwise(kept)}
    assert len(apart) <= 1
    if kept:
        reach = max(apart, default=1)
        assert kept[0] <= 2 * reach
        assert kept[-1] > count - 2 * reach


def test_equal_placements_are_kept_once() -> None:
    passed = Passed()
    for _ in range(2):
        passed.offer(Numbered(1))
    assert len(passed.placements()) == 1


def test_a_search_hands_on_its_plan_first_and_each_once(
    make_problem: Callable[..., Problem],
) -> None:
    problem = make_problem(np.random.default_rng(3), servers=9, clients=3)
    task = for_sessions(task_of(problem), 8)
    own, *others = placements_by_search(task, max_steps=200)
    assert own == placed_by_search(task, max_steps=200)
    assert others
    assert own not in others
    assert all(p not in others[:i] for i, p in enumerate(others))
    assert not any(any(misplaced(task.cost, p)) for p in others)
