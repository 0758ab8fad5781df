"""Solve the paper's mixed-integer programme and say exactly what was proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.errors import InfeasibleError, NoSolutionInTimeError, SolverError
from ...core.plan import Certificate, Placement, PlannedRoute
from ...core.problem import Problem
from ...perfmodel.predict import WEIGHTED_OBJECTIVE
from ...solve.deadline import Deadline
from ...solve.outcome import Outcome
from ...solve.progress import OnProgress
from ..demand import Demand, demand_of
from ..sessions import target_sessions
from .formulation import Form, Model, build, bundles_of, full_start
from .generic import run_generic, solver_name
from .highs import run_highs
from .start import defects, extract, merged, objective, paths_on

__all__ = ["Milp", "solve_milp"]

# Solvers accept rows violated by about 1e-6; a plan that leans on that is solved again with the
# memory rows tightened by more.
_MARGINS = (0.0, 1e-5)
_TOLERANCE = 1e-6  # relative: how far a solver's value may lie from the recomputed one

Solution = tuple[Placement, tuple[PlannedRoute, ...], Certificate]


def solve_milp(
    problem: Problem,
    *,
    demand: Sequence[Demand] | None = None,
    sessions: int | None = None,
    solver: str = "highs",
    time_limit_s: float | None = None,
    gap: float = 1e-4,
    warm_start: Placement | None = None,
    form: Form = "compact",
    min_blocks: int = 0,
    aggregate: bool = False,
    on_progress: OnProgress | None = None,
    seed: int = 0,
) -> Solution:
    """Place blocks and route a set of concurrent sessions at least total step time.

    Parameters
    ----------
    problem : the problem.
    demand : the sessions, client by client; split from ``sessions`` when left out.
    sessions : R; ``target_sessions(problem)`` when left out.
    solver : ``highs``, ``cbc`` or any solver that PuLP lists.
    time_limit_s : wall-clock limit, building included; None = none.
    gap : stop when incumbent and bound are this near, relative.
    warm_start : a plan to begin with; dropped when its memory cannot hold all sessions.
    form : ``compact`` (docs/model.md 9) or ``paper``, the published linearisation.
    min_blocks : fewest blocks on every server; the published code uses 1.
    aggregate : all sessions of a client share one route. Smaller, but a restriction: the result
        carries no bound.
    on_progress : called with incumbent and bound while HiGHS works.
    seed : random seed of the solver.

    Returns
    -------
    (placement, routes, certificate). The certificate's objective is recomputed with the shared
    cost model; its status is ``optimal`` only when the solver has proven the gap. After Ctrl-C
    the best plan so far comes back, with "interrupted" in the certificate's method.

    Raises
    ------
    InfeasibleError
        If the solver proves that no plan exists.
    NoSolutionInTimeError
        If the limit passes without any plan.
    SolverUnavailableError, SolverError
        If the solver is missing or fails.
    """
    deadline = Deadline.after(time_limit_s)
    name = solver_name(solver)
    if demand is None:
        demand = demand_of(problem, target_sessions(problem) if sessions is None else sessions)
    wanted = tuple(demand)
    paths = _usable_start(problem, wanted, warm_start, min_blocks, aggregate)
    bound: float | None = None
    for margin in _MARGINS:
        model = build(
            problem,
            wanted,
            form=form,
            min_blocks=min_blocks,
            aggregate=aggregate,
            memory_margin=margin,
        )
        start = full_start(model, warm_start, paths) if warm_start and paths else None
        if name == "HiGHS":
            outcome = run_highs(
                model, deadline=deadline, gap=gap, seed=seed, start=start, on_progress=on_progress
            )
        else:
            outcome = run_generic(model, name, deadline=deadline, gap=gap, seed=seed, start=start)
        if margin == 0.0:
            bound = None if outcome.bound is None else outcome.bound * model.unit
        plans = _plans(model, outcome, warm_start, paths)
        valid = [p for p in plans if not defects(problem, wanted, *p)]
        if valid or not plans or outcome.interrupted:
            break
    else:
        raise SolverError(f"{name} returned a plan that breaks the memory of a server")
    label = f"milp {form} ({name}{', interrupted' if outcome.interrupted else ''})"
    if not valid:
        _explain(outcome, label, time_limit_s, bound)
    best = min(valid, key=lambda plan: objective(problem, wanted, plan[1]))
    proven = outcome.state == "optimal" and margin == 0.0
    certificate = _certificate(
        objective(problem, wanted, best[1]), None if aggregate else bound, proven, gap, label
    )
    return (*best, certificate)


def _usable_start(
    problem: Problem,
    demand: Sequence[Demand],
    placement: Placement | None,
    min_blocks: int,
    aggregate: bool,
) -> list[PlannedRoute] | None:
    """Routes of all bundles on the start placement, None if the programme would refuse them."""
    if placement is None:
        return None
    blocks = placement.num_blocks
    if (blocks < min_blocks).any() or (blocks > problem.max_blocks).any():
        return None
    paths = paths_on(problem, bundles_of(demand, aggregate=aggregate), placement)
    return None if paths is None or defects(problem, demand, placement, paths) else paths


def _plans(
    model: Model,
    outcome: Outcome,
    warm_start: Placement | None,
    paths: Sequence[PlannedRoute] | None,
) -> list[tuple[Placement, tuple[PlannedRoute, ...]]]:
    """The solver's plan and the one it was given: a solver may lose its start."""
    plans = []
    if outcome.values is not None:
        names = (v.name for v in model.prob.variables())
        placement, found = extract(model, dict(zip(names, outcome.values.tolist(), strict=True)))
        plans.append((placement, merged(found)))
    if warm_start is not None and paths is not None and outcome.state != "infeasible":
        plans.append((warm_start, merged(paths)))
    return plans


def _explain(outcome: Outcome, label: str, time_limit_s: float | None, bound: float | None) -> None:
    """Raise the error that tells why there is no plan."""
    if outcome.state == "infeasible":
        raise InfeasibleError(
            f"{label}: proven infeasible: no placement serves all sessions within the memory; "
            "plan for fewer or shorter sessions, or add servers"
        )
    if outcome.interrupted:
        raise KeyboardInterrupt
    known = "" if bound is None else f"; no plan is better than {bound:.6g} s"
    raise NoSolutionInTimeError(
        f"{label}: no plan within {time_limit_s} s{known}; give more time or a warm start",
        bound=bound,
    )


def _certificate(
    reached: float, bound: float | None, proven: bool, gap: float, label: str
) -> Certificate:
    """Status and bound; a solver's bound may pass the optimum by its own rounding."""
    bound = None if bound is None else max(0.0, min(bound, reached))
    # Under server relay the programme prices a little less than the truth, hence the second test.
    near = bound is not None and reached - bound <= (gap + _TOLERANCE) * reached
    return Certificate(
        status="optimal" if proven and near else "feasible",
        objective=reached,
        bound=bound,
        method=label,
        meaning=WEIGHTED_OBJECTIVE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Milp:
    """The programme as a placer; ``solve_milp`` gives routes and certificate too."""

    solver: str = "highs"
    time_limit_s: float | None = 60.0
    gap: float = 1e-4
    form: Form = "compact"
    warm_start: Placement | None = None

    def __call__(self, problem: Problem, *, seed: int = 0) -> Placement:
        """Placement of the best plan found; errors as ``solve_milp``."""
        placement, _, _ = solve_milp(
            problem,
            solver=self.solver,
            time_limit_s=self.time_limit_s,
            gap=self.gap,
            form=self.form,
            warm_start=self.warm_start,
            seed=seed,
        )
        return placement
