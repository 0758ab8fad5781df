"""The load, for planners and simulations alike, and changes of it while a simulation runs."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.problem import Problem
from swarmplan.core.workload import Request, Workload
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.sessions import target_sessions
from swarmplan.workload.draw import draw_requests
from swarmplan.workload.load import LoadChange, at_load, with_load_changes


def at(*arrivals: float) -> tuple[Request, ...]:
    return tuple(
        Request(id=i, client=0, arrival_s=t, prompt_tokens=1, output_tokens=1, reserved_tokens=2)
        for i, t in enumerate(arrivals)
    )


def test_another_load_scales_the_gaps_and_keeps_the_lengths(tiny: Problem) -> None:
    slow, fast = draw_requests(tiny, 3), draw_requests(at_load(tiny, 2.0), 3)
    np.testing.assert_allclose([r.arrival_s for r in slow], [2 * r.arrival_s for r in fast])
    assert [r.prompt_tokens for r in slow] == [r.prompt_tokens for r in fast]


def test_planners_expect_the_load_that_comes(tiny: Problem) -> None:
    free = replace(tiny, planning=replace(tiny.planning, sessions=None))
    calm = at_load(free, 0.1)
    assert calm.workload.rate_per_s == pytest.approx(0.1 * tiny.workload.rate_per_s)
    # A request takes 2 s on average: 2 + sqrt(2) and 0.2 + sqrt(0.2) sessions.
    assert [target_sessions(CostModel.of(p)) for p in (free, calm)] == [3, 1]
    assert at_load(free, 1.0) == free


def test_a_trace_at_another_load_comes_faster_and_is_expected_to(tiny: Problem) -> None:
    problem = replace(tiny, workload=Workload(trace=at(5.0, 7.0, 13.0), num_requests=3))
    heavy = at_load(problem, 4.0)
    assert heavy.workload.rate_per_s == pytest.approx(4 * problem.workload.rate_per_s)
    assert [r.arrival_s for r in draw_requests(heavy, 0)] == [0.0, 0.5, 2.0]


def test_gaps_shrink_by_the_factor_in_force() -> None:
    changes = [LoadChange(at_s=10.0, factor=2.0), LoadChange(at_s=15.0, factor=0.5)]
    changed = with_load_changes(at(5.0, 10.0, 12.0, 20.0, 21.0), changes)
    assert [r.arrival_s for r in changed] == [5.0, 10.0, 11.0, 15.0, 17.0]


def test_without_changes_requests_stay_as_they_are() -> None:
    assert with_load_changes(at(1.0, 2.0), []) == at(1.0, 2.0)


def test_a_load_factor_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        LoadChange(at_s=0.0, factor=0.0)


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=20),
    st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 10)), max_size=5),
)
def test_load_changes_keep_the_order_of_arrival(
    arrivals: list[float], steps: list[tuple[float, float]]
) -> None:
    changes = [LoadChange(at_s=t, factor=f) for t, f in steps]
    changed = [r.arrival_s for r in with_load_changes(at(*sorted(arrivals)), changes)]
    assert all(b >= a - 1e-9 for a, b in pairwise(changed))
