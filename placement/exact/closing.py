"""Running the closing programme: the best plan among what survived, and a bound on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np

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
    """

    bound: float
    plan: Plan | None
    interrupted: bool = False


def close(
    flow: Flow, start: Plan | None, *, limit_s: float, gap: float, seed: int, enough: float
) -> Closed:
    """Solve the programme within the limit, or until a plan costs at most ``enough``."""
    highs = _solver(limit_s, gap, seed)
    highs.setOptionValue("objective_target", enough)
    highs.passModel(flow.programme())
    values = None if start is None else flow.start(start)
    if values is not None:
        solution = highspy.HighsSolution()
        solution.col_value = values.tolist()
        solution.value_valid = True
        highs.setSolution(solution)
    interrupted = False
    try:
        highs.HandleKeyboardInterrupt = True
        highs.solve()
    except KeyboardInterrupt:
        interrupted = True
    return _read(highs, flow, interrupted)


def _solver(limit_s: float, gap: float, seed: int) -> Any:
    highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("time_limit", float(limit_s)),
        ("mip_rel_gap", gap),
        ("random_seed", seed % 2**31),
    ):
        highs.setOptionValue(option, value)
    return highs


def _read(highs: Any, flow: Flow, interrupted: bool) -> Closed:
    status, info = highs.getModelStatus(), highs.getInfo()
    states = highspy.HighsModelStatus
    if status in (states.kInfeasible, states.kUnboundedOrInfeasible):
        return Closed(bound=math.inf, plan=None, interrupted=interrupted)
    bound = float(info.mip_dual_bound)
    bound = bound - TOLERANCE * abs(bound) if math.isfinite(bound) else -math.inf
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return Closed(bound=bound, plan=None, interrupted=interrupted)
    values = np.asarray(highs.getSolution().col_value, dtype=float)
    return Closed(bound=bound, plan=flow.plan(values), interrupted=interrupted)
