"""What is taken out of PuLP for HiGHS."""

import numpy as np
import pulp

from swarmplan.placement.milp.highs import from_pulp


def test_bounds_kinds_and_rows_are_those_that_were_written_down() -> None:
    prob = pulp.LpProblem("all", pulp.LpMinimize)
    whole = prob.add_variable("a", 1, 5, "Integer")
    free = prob.add_variable("b", None, None)
    choice = prob.add_variable("c", cat="Binary")
    prob += 2 * whole + 3 * choice + whole + 7
    prob += whole + free >= 0.5, "least"
    prob += whole - free <= 1 + whole, "most"
    prob += free + 2 * choice == 1, "equal"
    made = from_pulp(prob)
    assert [v.name for v in prob.variables()] == ["a", "b", "c"]
    assert made.cost.tolist() == [3.0, 0.0, 3.0]
    assert made.lower.tolist() == [1.0, -np.inf, 0.0]
    assert made.upper.tolist() == [5.0, np.inf, 1.0]
    assert made.integer.tolist() == [True, False, True]
    assert made.row_lower.tolist() == [0.5, -np.inf, 1.0]
    assert made.row_upper.tolist() == [np.inf, 1.0, 1.0]
    rows = [
        dict(zip(made.columns[i:j].tolist(), made.values[i:j].tolist(), strict=True))
        for i, j in zip(made.starts, made.starts[1:], strict=False)
    ]
    assert rows == [{0: 1.0, 1: 1.0}, {1: -1.0}, {1: 1.0, 2: 2.0}]
