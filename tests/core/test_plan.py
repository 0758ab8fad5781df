"""Placements, routes and certificates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.objective import STEP, Objective
from swarmplan.core.plan import Certificate, Placement
from swarmplan.core.problem import Problem
from swarmplan.perfmodel.cost import CostModel


def test_a_placement_offers_all_memory_that_the_weights_leave(tiny: Problem) -> None:
    placement = CostModel.of(tiny).placed([(0, 4), (3, 6), (0, 0), (5, 6)])
    assert placement.cache_bytes.tolist() == [2_000, 1_000, 0, 2_000]
    assert placement.span(2) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8))
def test_coverage_counts_the_servers_that_hold_each_block(pairs: list[tuple[int, int]]) -> None:
    spans = [(min(p), max(p)) for p in pairs]
    placement = Placement(
        start=np.array([s for s, _ in spans]),
        end=np.array([e for _, e in spans]),
        cache_bytes=np.zeros(len(spans), dtype=np.int64),
    )
    expected = [sum(s <= b < e for s, e in spans) for b in range(9)]
    assert placement.coverage(9).tolist() == expected


def test_the_gap_of_a_certificate_is_relative_to_the_objective() -> None:
    certificate = Certificate(objective=Objective(goal=STEP, value=2.0, bound=1.5))
    assert certificate.gap == pytest.approx(0.25)
    assert Certificate(objective=Objective(goal=STEP, value=2.0)).gap is None


@pytest.mark.parametrize(
    ("bound", "status"),
    [(10_000.0, "optimal"), (9_999.0, "optimal"), (9_998.99, "feasible"), (None, "feasible")],
)
def test_a_plan_is_optimal_when_a_ten_thousandth_at_most_is_left_to_its_bound(
    bound: float | None, status: str
) -> None:
    reached = Objective(goal=STEP, value=10_000.0, bound=bound)
    assert Certificate(objective=reached).status == status
