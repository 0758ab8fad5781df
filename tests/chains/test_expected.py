"""What a plan is expected to take at its load."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmplan.chains.expected import expected_per_million
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel
from swarmplan.tests.perfmodel.test_expense import powered

#: Work of the representative request on the six blocks of the fast server, seconds.
WORK_S = 6 * (0.004 + 11 * 0.0002) + 10 * 6 * 0.002


def loaded(problem: Problem, rate_per_s: float) -> tuple[CostModel, Placement]:
    """All blocks on the fast server, which alone is on, at a rate of both clients together."""
    classes = (replace(c, rate_per_s=rate_per_s / 2) for c in problem.workload.classes)
    workload = replace(problem.workload, classes=tuple(classes))
    cost = CostModel.of(replace(problem, workload=workload))
    return cost, cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)], cache_bytes=[100_000, 0, 0, 0])


def test_one_chain_takes_its_idle_power_and_the_work_of_its_requests(tiny: Problem) -> None:
    cost, placement = loaded(powered(tiny), 0.5)
    kwh, money = expected_per_million(cost, placement)
    assert kwh == pytest.approx((50 + 0.5 * WORK_S * 250) / (0.5 * 11) / 3.6)
    assert money == pytest.approx(0.001 / (0.5 * 11) * 1e6)


def test_more_than_the_chains_bear_is_not_counted(tiny: Problem) -> None:
    most = expected_per_million(*loaded(powered(tiny), 1e4))
    assert most == pytest.approx(expected_per_million(*loaded(powered(tiny), 1e5)))
    assert most[0] == pytest.approx(300 * WORK_S / 11 / 3.6, rel=0.02)


def test_without_watts_and_prices_or_load_nothing_is_expected(tiny: Problem) -> None:
    assert expected_per_million(*loaded(tiny, 0.5)) == (None, None)
    assert expected_per_million(*loaded(powered(tiny), 0.0)) == (None, None)
