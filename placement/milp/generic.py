"""Any other solver that PuLP can drive: CBC, GLPK, SCIP, Gurobi, CPLEX, COPT, ..."""

from __future__ import annotations

import math
import re
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pulp

from ...core.errors import SolverError, SolverUnavailableError
from ...solve.deadline import Deadline
from ...solve.outcome import Outcome, State
from .formulation import Model

_CBC = ("PULP_CBC_CMD", "COIN_CMD")
_HINTS = {
    "HiGHS": "pip install highspy",
    "PULP_CBC_CMD": 'pip install "pulp<4", or install CBC and have `cbc` on the PATH',
    "COIN_CMD": "install CBC (coin-or) and have `cbc` on the PATH",
    "GLPK_CMD": "install GLPK and have `glpsol` on the PATH",
    "SCIP_CMD": "install SCIP and have `scip` on the PATH",
    "SCIP_PY": "pip install pyscipopt",
    "GUROBI": "pip install gurobipy, with a licence",
    "CPLEX_PY": "pip install cplex",
    "COPT": "pip install coptpy, with a licence",
    "XPRESS_PY": "pip install xpress, with a licence",
    "MOSEK": "pip install mosek, with a licence",
}


def solver_name(name: str) -> str:
    """PuLP's name of a solver: ``highs``, ``cbc`` or any of PuLP's own names, in any case.

    Raises
    ------
    SolverUnavailableError
        If PuLP does not know the name, or the solver is not installed.
    """
    known = {s.lower(): s for s in pulp.listSolvers()}
    usable = pulp.listSolvers(onlyAvailable=True)
    if name.lower() == "cbc":
        found = next((s for s in _CBC if s in usable), _CBC[0])
    else:
        found = known.get(name.lower(), "")
    if not found:
        raise SolverUnavailableError(
            f"no solver is called {name!r}; installed here: {', '.join(sorted(usable))}"
        )
    if found not in usable:
        hint = _HINTS.get(found, "see PuLP's guide to configuring solvers")
        raise SolverUnavailableError(f"the solver {found} is not installed: {hint}")
    return found


def run_generic(
    model: Model,
    name: str,
    *,
    deadline: Deadline,
    gap: float,
    seed: int,
    start: Mapping[str, float] | None = None,
) -> Outcome:
    """Solve with the PuLP solver called ``name``; values in the order of PuLP's variables.

    Raises
    ------
    SolverError
        If the solver fails.
    """
    options: dict[str, Any] = {"msg": False, "gapRel": gap}
    limit_s = max(deadline.left_s(), 0.05)
    if math.isfinite(limit_s):
        options["timeLimit"] = limit_s
    if start is not None:
        options["warmStart"] = True
        for variable in model.prob.variables():
            variable.setInitialValue(start[variable.name])
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "solver.log"
        if name in _CBC:
            options |= {"threads": 1, "logPath": str(log)}
            options["options"] = [f"randomCbcSeed {seed % 2**31}"]
        began = time.monotonic()
        try:
            answer = model.prob.solve(_solver(name, options))
        except pulp.PulpSolverError as error:
            raise SolverError(f"{name} failed: {error}") from error
        except KeyboardInterrupt:
            # The solver ran as a child process and died with the same signal.
            return Outcome(state="nothing", interrupted=True)
        text = log.read_text(errors="replace") if log.exists() else ""
    cut_off = time.monotonic() - began > 0.9 * limit_s
    return _read(model, answer, gap, text, cut_off=cut_off)


def _solver(name: str, options: dict[str, Any]) -> Any:
    """PuLP's solver object; the CBC that PuLP 3 bundles announces its end at every use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PULP_CBC_CMD", DeprecationWarning)
        return pulp.getSolver(name, **options)


def _read(model: Model, answer: Any, gap: float, log: str, *, cut_off: bool) -> Outcome:
    """The state and the bound from what PuLP returns.

    "Infeasible" is not believed of a run that the limit may have cut off: CBC writes it too when
    it stops inside its preprocessing.
    """
    state = _state(model.prob, answer)
    if state == "infeasible":
        return Outcome(state="nothing" if cut_off else "infeasible")
    bound = getattr(answer, "best_bound", None)
    bound = _bound_in(log) if bound is None or not math.isfinite(bound) else float(bound)
    if state == "nothing":
        return Outcome(state="nothing", bound=bound)
    values = np.array([float(v.value() or 0.0) for v in model.prob.variables()])
    if state == "optimal":
        reached = float(pulp.value(model.prob.objective))
        proven = reached - gap * abs(reached)
        bound = proven if bound is None else max(bound, proven)
    return Outcome(state=state, values=values, bound=bound)


def _state(prob: Any, answer: Any) -> State:
    """PuLP 4 answers with statistics; PuLP 3 with a number that calls any solution optimal."""
    if hasattr(answer, "has_solution"):
        status, found = answer.status, bool(answer.has_solution)
        # No cutoff or target is ever set here, so "gap limit" is the gap that was asked for.
        optimal = status in (pulp.LpSolveStatus.Optimal, pulp.LpSolveStatus.GapLimit)
        infeasible = status == pulp.LpSolveStatus.Infeasible
    else:
        solution = prob.sol_status
        optimal = solution == pulp.LpSolutionOptimal
        found = optimal or solution == pulp.LpSolutionIntegerFeasible
        infeasible = pulp.LpStatusInfeasible in (prob.status, solution)
    if infeasible:
        return "infeasible"
    if not found:
        return "nothing"
    return "optimal" if optimal else "feasible"


def _bound_in(log: str) -> float | None:
    """The lower bound that CBC prints when it stops at a limit."""
    found = re.search(r"^Lower bound:\s+(-?[0-9.]+(?:e[+-]?[0-9]+)?)", log, re.MULTILINE)
    return float(found.group(1)) if found else None
