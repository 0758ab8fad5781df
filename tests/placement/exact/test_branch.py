"""Trees of the exact method: how far their nodes are solved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swarmplan.benchmarks.instances import geographic
from swarmplan.chains.floor import cheapest_chains_s
from swarmplan.placement.exact.bag import Bag
from swarmplan.placement.exact.branch import LITTLE, Tree
from swarmplan.placement.exact.dive import common_first
from swarmplan.placement.exact.instance import data_of
from swarmplan.placement.sessions import task_of
from swarmplan.tests.placement.exact.test_dive import solved


def relaxation() -> Bag:
    """That of twelve servers whose cache is scarce."""
    task = task_of(geographic(12, 4, 30, 7002, "H").problem)
    alone = cheapest_chains_s(task.cost, task.demand)
    every_s = sum(d.sessions * s for d, s in zip(task.demand, alone, strict=True))
    return solved(data_of(task, every_s / 1000))


def grown(
    monkeypatch: pytest.MonkeyPatch, *, apart: bool, target: float, rounds: int
) -> tuple[float, list[tuple[float, float, float]]]:
    """The target of a tree, a multiple of the root's bound, and of every node that was solved in so
    many pricing rounds (the tree's bound, until which bound, the one found)."""
    bag = relaxation()
    root, plain = bag.root.bound, Bag.solve
    told: list[tuple[float, float, float]] = []

    def telling(bag: Bag, *args: Any, **named: Any) -> tuple[float, bool]:
        before = tree.bound
        found, converged = plain(bag, *args, **named)
        told.append((before, named["until"], found))
        return found, converged

    monkeypatch.setattr(Bag, "solve", telling)
    bag.target = lambda: target * root
    bag.most_iterations = bag.iterations + rounds
    tree = Tree(bag=bag, bound=root, apart=apart)
    tree.plant()
    tree.grow()
    return target * root, told


def test_limits_are_solved_until_a_bound_and_no_further() -> None:
    bag = relaxation()
    root, limits = bag.root, common_first(bag.master)
    whole, _ = bag.solve(limits, root, worth=0.0)
    assert whole > root.bound
    until = 0.5 * (root.bound + whole)
    bag = relaxation()
    found, converged = bag.solve(limits, bag.root, worth=0.0, until=until)
    assert until <= found < whole
    assert not converged


def test_where_nodes_raise_the_bound_by_little_none_is_solved_beyond_the_next_goal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target, told = grown(monkeypatch, apart=True, target=1.05, rounds=500)
    assert len(told) > 10
    assert all(bound < until < target for bound, until, _ in told)
    assert any(found >= until for _, until, found in told)


@pytest.mark.parametrize(("apart", "target"), [(False, 1.05), (True, 1.0 + 0.9 * LITTLE)])
def test_elsewhere_and_where_little_is_missing_nodes_are_solved_up_to_the_target(
    monkeypatch: pytest.MonkeyPatch, apart: bool, target: float
) -> None:
    _, told = grown(monkeypatch, apart=apart, target=target, rounds=60)
    assert told
    assert all(until == np.inf for _, until, _ in told)
