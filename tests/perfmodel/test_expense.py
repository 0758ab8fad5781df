"""Energy and money of servers that are on, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swarmplan.core.problem import Problem
from swarmplan.perfmodel.devices import board_w, devices_named
from swarmplan.perfmodel.expense import UNKNOWN, Expense, expense, work_w


def powered(problem: Problem, idle_w: float = 50.0, busy_w: float = 300.0) -> Problem:
    """The same servers with watts and prices."""
    servers = (replace(s, idle_w=idle_w, busy_w=busy_w, price_per_s=0.001) for s in problem.servers)
    return replace(problem, servers=tuple(servers))


def test_a_server_takes_its_idle_power_all_the_time_and_more_while_it_works(tiny: Problem) -> None:
    on, busy = np.array([100.0, 100.0, 0.0, 0.0]), np.array([30.0, 0.0, 0.0, 0.0])
    taken = expense(powered(tiny), on, busy)
    assert taken.energy_j == pytest.approx(2 * 100 * 50 + 30 * 250)
    assert taken.money == pytest.approx(200 * 0.001)


def test_work_of_a_server_that_computes_for_several_at_once_counts_once(tiny: Problem) -> None:
    on, busy = np.array([100.0, 0.0, 0.0, 0.0]), np.array([250.0, 0.0, 0.0, 0.0])
    assert expense(powered(tiny), on, busy).energy_j == pytest.approx(100 * 300)


def test_what_is_not_known_of_a_server_that_is_on_is_not_known(tiny: Problem) -> None:
    first, *others = powered(tiny).servers
    some = replace(tiny, servers=(replace(first, idle_w=None), *others))
    on = np.array([1.0, 1.0, 0.0, 0.0])
    assert expense(some, on, 0 * on).energy_j is None
    assert expense(some, on, 0 * on).money == pytest.approx(0.002)
    assert expense(some, np.array([0.0, 1.0, 0.0, 0.0]), 0 * on).energy_j == pytest.approx(50)
    assert expense(tiny, on, 0 * on) == UNKNOWN
    assert np.isnan(work_w(some)).tolist() == [True, False, False, False]


def test_a_million_tokens_take_kilowatt_hours() -> None:
    assert Expense(energy_j=3.6e6, money=2.0).per_million(500_000) == (2.0, 4.0)
    assert Expense(energy_j=3.6e6, money=None).per_million(0) == (None, None)
    assert UNKNOWN.per_million(1_000) == (None, None)


@pytest.mark.parametrize(
    ("name", "watts"),
    [("H100-80GB", 700), ("A100-80GBx4/Llama-2-70B", 1600), ("BPRR-MIG-1g", None), ("T4", 70)],
)
def test_a_profile_knows_the_power_of_its_boards(name: str, watts: float | None) -> None:
    assert board_w(devices_named(name)) == watts
