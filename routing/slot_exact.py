"""The optimum of a small slot, and a bound for a large one: what the solver is judged by.

docs/model.md 13, (9).
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.errors import SolverError
from ..solve.deadline import Deadline
from ..solve.lp import Lp
from ..solve.mip import solve_programme
from ..solve.programme import Builder
from .pairs import Pairs
from .slot import WAIT, Slot, Value


def enumerated(slot: Slot, value: Value) -> tuple[IntArray, float]:
    """The first of the cheapest of all (P + 1)^R assignments, and what it costs."""
    every = range(WAIT, slot.uses.shape[1])
    best, least = np.full(slot.requests, WAIT, dtype=np.int64), math.inf
    for options in itertools.product(every, repeat=slot.requests):
        choice = np.array(options, dtype=np.int64)
        if slot.fits(choice) and (cost := value(choice)) < least - 1e-9:
            best, least = choice, cost
    return best, least


def by_pairs(slot: Slot, value: Pairs, deadline: Deadline) -> tuple[IntArray, float]:
    """The optimum for the value by pairs, as a mixed-integer programme.

    Raises
    ------
    SolverError
        If the deadline comes first.
    """
    builder, alone = Builder(), value.alone_s()
    takes: dict[tuple[int, int], int] = {}
    for r in range(slot.requests):
        waits = builder.variable(float(value.wait_s[r]), integer=True)
        for p in _chains(slot, r):
            takes[r, p] = builder.variable(float(alone[r, p]), upper=1.0, integer=True)
        mine = [column for (who, _), column in takes.items() if who == r]
        builder.row(dict.fromkeys([waits, *mine], 1.0), lower=1.0, upper=1.0)
    for one, other in itertools.combinations(takes, 2):
        cost = value.pair_s(one, other) if one[0] != other[0] else 0.0
        if cost > 0:
            both = builder.variable(cost)  # need not be whole: it costs
            builder.row({both: 1.0, takes[one]: -1.0, takes[other]: -1.0}, lower=-1.0)
    for j, free in enumerate(slot.free.tolist()):
        uses = {c: float(slot.uses[r, p, j]) for (r, p), c in takes.items() if slot.uses[r, p, j]}
        builder.row(uses, upper=free)
    ended = solve_programme(builder.programme(), deadline=deadline, gap=1e-9)
    if ended.state != "optimal" or ended.values is None:
        raise SolverError(f"the slot was not solved in time: {ended.state}")
    choice = np.full(slot.requests, WAIT, dtype=np.int64)
    for (r, p), column in takes.items():
        if ended.values[column] > 0.5:
            choice[r] = p
    return choice, value(choice)


def lower_bound_s(slot: Slot, wait_s: FloatArray, alone_s: FloatArray, deadline: Deadline) -> float:
    """What no assignment is below: nobody delays another, memory has a price.

    The Lagrangian bound with the best prices, which is the linear relaxation without the pairs.

    Parameters
    ----------
    wait_s, alone_s : (R,) and (R, P) what a request costs by itself.
    """
    lp = Lp()
    once = [lp.add_row({}, 1.0, 1.0) for _ in range(slot.requests)]
    room = [lp.add_row({}, -math.inf, free) for free in slot.free.tolist()]
    for r in range(slot.requests):
        lp.add_column(float(wait_s[r]), {once[r]: 1.0})
        for p in _chains(slot, r):
            uses = zip(room, slot.uses[r, p].tolist(), strict=True)
            entries = {once[r]: 1.0} | {row: used for row, used in uses if used > 0}
            lp.add_column(float(alone_s[r, p]), entries)
    solved = lp.solve(deadline)
    if solved is None:
        raise SolverError("the bound of the slot was not found in time")
    return solved.objective


def _chains(slot: Slot, request: int) -> list[int]:
    """Chains that there are for a request."""
    there = np.isfinite(slot.uses[request]).all(axis=1)
    return list(np.flatnonzero(there).tolist())
