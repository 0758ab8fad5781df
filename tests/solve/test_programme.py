"""Programmes as arrays."""

import numpy as np
import pytest

from swarmplan.solve.programme import Builder, Programme


def written() -> Programme:
    """x + y >= 1.5 with 0 <= x <= 2 whole and y free."""
    rows = Builder()
    x = rows.variable(2.0, upper=2.0, integer=True)
    y = rows.variable(1.0, lower=-np.inf)
    rows.row({x: 1.0, y: 1.0}, lower=1.5)
    rows.row({})
    rows.row({y: 4.0}, lower=-4.0, upper=4.0)
    return rows.programme()


def test_rows_are_compressed_in_the_order_they_were_written() -> None:
    made = written()
    assert made.starts.tolist() == [0, 2, 2, 3]
    assert made.columns.tolist() == [0, 1, 1]
    assert made.values.tolist() == [1.0, 1.0, 4.0]
    assert made.row_lower.tolist() == [1.5, -np.inf, -4.0]
    assert made.row_upper.tolist() == [np.inf, np.inf, 4.0]
    assert made.upper.tolist() == [2.0, np.inf]
    assert made.objective(np.array([1.0, 0.5])) == 2.5


@pytest.mark.parametrize(
    ("x", "sound"),
    [
        ((1.0, 0.5), True),
        ((1.0, 0.5 - 1e-7), True),
        ((1.0, 0.5 - 1e-5), False),  # the first row
        ((0.0, 1.5), False),  # the last row
        ((0.7, 0.9), False),  # x is whole
        ((3.0, 0.5), False),  # its upper bound
        ((-1.0, 1.0), False),  # its lower bound
    ],
)
def test_a_solution_is_accepted_when_it_meets_everything(
    x: tuple[float, float], sound: bool
) -> None:
    assert written().accepts(np.array(x)) == sound
