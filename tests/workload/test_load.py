"""The load, for planners and simulations alike, and changes of it while a simulation runs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.workload import Request
from swarmplan.workload.load import LoadChange, with_load_changes


def at(*arrivals: float) -> tuple[Request, ...]:
    return tuple(
        Request(id=i, client=0, arrival_s=t, prompt_tokens=1, output_tokens=1, reserved_tokens=2)
        for i, t in enumerate(arrivals)
    )


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
