"""HiGHS for the programme that PuLP has written down.

PuLP's own way to HiGHS prints HiGHS' banner, drops a warm start and calls a solution found within
the limit "Optimal"; so the columns and rows are taken out of PuLP and handed over as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...solve.deadline import Deadline
from ...solve.mip import OnBetter, solve_programme
from ...solve.outcome import Outcome
from ...solve.programme import Builder, Programme
from .formulation import Model


def run_highs(
    model: Model,
    *,
    deadline: Deadline,
    gap: float,
    seed: int,
    start: Mapping[str, float] | None = None,
    on_better: OnBetter | None = None,
) -> Outcome:
    """Solve the programme with HiGHS; errors as ``solve_programme``.

    Parameters
    ----------
    start : a value for every variable, by name.
    """
    values = None
    if start is not None:
        values = np.array([start[v.name] for v in model.prob.variables()], dtype=np.float64)
    return solve_programme(
        from_pulp(model.prob),
        deadline=deadline,
        gap=gap,
        seed=seed,
        start=values,
        on_better=on_better,
    )


def from_pulp(prob: Any) -> Programme:
    """The columns, in the order of ``prob.variables()``, and rows of a problem to be minimised.

    A constant in the objective is left out: it moves no solution. Works alike on PuLP 3.3 and 4.
    """
    variables = prob.variables()
    column = {v.name: i for i, v in enumerate(variables)}
    cost = {v.name: a for v, a in prob.objective.items()}
    written = Builder()
    for v in variables:
        written.variable(
            float(cost.get(v.name, 0.0)),
            lower=-math.inf if v.lowBound is None else v.lowBound,
            upper=math.inf if v.upBound is None else v.upBound,
            integer=v.cat == "Integer",  # PuLP makes integers of binaries
        )
    for row in prob.constraints():
        least, most = row.getLb(), row.getUb()
        written.row(
            {column[v.name]: float(a) for v, a in row.items() if a},
            lower=-math.inf if least is None else least,
            upper=math.inf if most is None else most,
        )
    return written.programme()
