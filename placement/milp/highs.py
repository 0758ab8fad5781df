"""HiGHS through PuLP's interface to its library: bound, warm start, live progress, Ctrl-C.

PuLP 3 drops a warm start on this interface and reports a solution found within the time limit as
"Optimal", so the steps of its ``solve`` are taken one by one here and the state is read from HiGHS.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

import highspy
import numpy as np
import pulp

from .formulation import Model
from .outcome import Limits, OnProgress, Outcome, Progress

_POLL_S = 0.1


class _Watch:
    """Shared by HiGHS' thread, which writes the state, and the caller's, which reads it."""

    def __init__(self) -> None:
        self.stop = False
        self.state: tuple[float, float] = (math.inf, -math.inf)

    def __call__(self, kind: Any, _message: str, out: Any, into: Any, _data: Any) -> None:
        """HiGHS' callback; must not raise."""
        if into is not None:
            into.user_interrupt = self.stop
        # The simplex knows nothing of the search tree.
        if kind != highspy.cb.HighsCallbackType.kCallbackSimplexInterrupt:
            self.state = (out.mip_primal_bound, out.mip_dual_bound)


def run_highs(
    model: Model,
    limits: Limits,
    *,
    start: Mapping[str, float] | None = None,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Solve the programme with HiGHS, on one thread.

    Parameters
    ----------
    start : a value for every variable; HiGHS drops partial or infeasible starts silently.
    on_progress : called from this thread whenever incumbent or bound has changed.
    """
    types = highspy.cb.HighsCallbackType
    watch = _Watch()
    solver = pulp.HiGHS(
        msg=False,
        timeLimit=limits.time_s,
        gapRel=limits.gap,
        threads=1,
        random_seed=limits.seed % 2**31,
        callbackTuple=(watch, None),
        callbacksToActivate=[
            types.kCallbackMipInterrupt,
            types.kCallbackSimplexInterrupt,
            types.kCallbackMipImprovingSolution,
        ],
    )
    prob = model.prob
    solver.createAndConfigureSolver(prob)
    solver.buildSolverModel(prob)
    highs = prob.solverModel
    names = [v.name for v in prob.variables()]
    if start is not None:
        solution = highspy.HighsSolution()
        solution.col_value = [start[name] for name in names]
        solution.value_valid = True
        highs.setSolution(solution)
    interrupted = _run(highs, watch, model.unit, on_progress)
    return _read(highs, names, interrupted)


def _run(highs: Any, watch: _Watch, unit: float, on_progress: OnProgress | None) -> bool:
    """Run HiGHS in a worker thread, so that Ctrl-C reaches this one; True if it did."""
    worker = threading.Thread(target=highs.run, daemon=True)
    began = time.monotonic()
    shown: tuple[float, float] | None = None
    worker.start()
    try:
        while worker.is_alive():
            worker.join(_POLL_S)
            if on_progress is not None and watch.state != shown:
                shown = watch.state
                primal, dual = (unit * v if math.isfinite(v) else None for v in shown)
                elapsed = time.monotonic() - began
                on_progress(Progress(elapsed_s=elapsed, objective=primal, bound=dual))
    except KeyboardInterrupt:
        return True
    finally:
        watch.stop = True
        worker.join()
    return False


def _read(highs: Any, names: list[str], interrupted: bool) -> Outcome:
    """The state as HiGHS itself tells it."""
    status, info = highs.getModelStatus(), highs.getInfo()
    states = highspy.HighsModelStatus
    bound = float(info.mip_dual_bound)
    known = bound if math.isfinite(bound) else None
    if status in (states.kInfeasible, states.kUnboundedOrInfeasible):
        return Outcome(state="infeasible", interrupted=interrupted)
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return Outcome(state="nothing", bound=known, interrupted=interrupted)
    values = np.asarray(highs.getSolution().col_value, dtype=float)
    return Outcome(
        state="optimal" if status == states.kOptimal else "feasible",
        values=dict(zip(names, values.tolist(), strict=True)),
        bound=known,
        interrupted=interrupted,
    )
