"""Running the closing programme: the best plan among what survived, and a bound on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...solve.deadline import Deadline
from ...solve.mip import solve_programme
from .flow import Flow
from .incumbent import Plan

#: HiGHS accepts values and rows that are off by about this much; the bound gives way, relative.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What the programme says, in the data's unit.

    Attributes
    ----------
    bound : no plan among what survived is cheaper; inf when there is none, -inf when not known.
    plan : the best plan found, None without one.
    settled : more time would change neither.
    """

    bound: float
    plan: Plan | None
    settled: bool
    interrupted: bool = False


def close(
    flow: Flow, start: Plan | None, *, limit_s: float, gap: float, seed: int, enough: float
) -> Closed:
    """Solve the programme within the limit, or until a plan costs at most ``enough``."""
    found = solve_programme(
        flow.programme(),
        deadline=Deadline.after(limit_s),
        gap=gap,
        seed=seed,
        start=None if start is None else flow.start(start),
        target=enough,
    )
    plan = None if found.values is None else flow.plan(found.values)
    if found.state == "infeasible":
        bound = math.inf
    elif found.bound is None:
        bound = -math.inf
    else:
        bound = found.bound - TOLERANCE * abs(found.bound)
    return Closed(
        bound=bound,
        plan=plan,
        settled=found.state in ("optimal", "infeasible"),
        interrupted=found.interrupted,
    )
