"""Solve the paper's mixed-integer programme and say exactly what was proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...chains.soundness import unsound
from ...core.errors import InfeasibleError, NoSolutionInTimeError, SolverError
from ...core.objective import Objective
from ...core.plan import Certificate, Placement, PlannedRoute
from ...perfmodel.predict import step_goal, step_objective_s
from ...solve.outcome import Outcome
from ...solve.progress import Progress
from ..api import Solution
from ..task import Task
from .formulation import Form, Model, build, bundles_of, full_start
from .generic import run_generic, solver_name
from .highs import run_highs
from .start import extract, merged, paths_on

# Solvers accept rows violated by about 1e-6; a plan that leans on that is solved again with the
# memory rows tightened by more.
_MARGINS = (0.0, 1e-5)
_TOLERANCE = 1e-6  # relative: how far a solver's value may lie from the recomputed one


class _Plan(NamedTuple):
    placement: Placement
    routes: tuple[PlannedRoute, ...]


def solve_milp(
    task: Task,
    *,
    solver: str = "highs",
    warm_start: Placement | None = None,
    form: Form = "compact",
    min_blocks: int = 0,
    aggregate: bool = False,
) -> Solution:
    """Place blocks and route a set of concurrent sessions at least total step time.

    Parameters
    ----------
    task : its deadline includes the time for building; progress is told while HiGHS works.
    solver : ``highs``, ``cbc`` or any solver that PuLP lists.
    warm_start : a plan to begin with; dropped when its memory cannot hold all sessions.
    form : ``compact`` (docs/model.md 9) or ``paper``, the published linearisation.
    min_blocks : fewest blocks on every server; the published code uses 1.
    aggregate : all sessions of a client share one route. Smaller, but a restriction: the result
        carries no bound.

    Returns
    -------
    The certificate's objective is recomputed with the shared cost model; its status is ``optimal``
    only when the solver has proven the gap. After Ctrl-C the best plan so far comes back, marked
    as interrupted.

    Raises
    ------
    InfeasibleError
        If the solver proves that no plan exists.
    NoSolutionInTimeError
        If the limit passes without any plan.
    SolverUnavailableError, SolverError
        If the solver is missing or fails.
    """
    name, cost, demand = solver_name(solver), task.cost, task.demand
    paths = _usable_start(task, warm_start, min_blocks, aggregate)
    bound: float | None = None
    for margin in _MARGINS:
        model = build(
            cost,
            demand,
            form=form,
            min_blocks=min_blocks,
            aggregate=aggregate,
            memory_margin=margin,
        )
        start = full_start(model, warm_start, paths) if warm_start and paths else None
        outcome = _run(model, name, task, start)
        if margin == 0.0:
            bound = None if outcome.bound is None else outcome.bound * model.unit
        plans = _plans(model, outcome, warm_start, paths)
        valid = [p for p in plans if not unsound(cost, *p, demand)]
        if valid or not plans or outcome.interrupted:
            break
    else:
        raise SolverError(f"{name} returned a plan that breaks the memory of a server")
    label = f"milp {form} ({name})"
    if not valid:
        _explain(outcome, label, task.deadline.limit_s, bound)
    reached, best = min((step_objective_s(cost, p.routes, demand), i) for i, p in enumerate(valid))
    bound = None if bound is None or aggregate else max(0.0, min(bound, reached))
    certificate = Certificate(
        objective=Objective(goal=step_goal(demand), value=reached, bound=bound),
        proof=label,
        interrupted=outcome.interrupted,
    )
    return Solution(*valid[best], certificate)


def _run(model: Model, name: str, task: Task, start: Mapping[str, float] | None) -> Outcome:
    """One run of the solver; HiGHS tells about it meanwhile."""
    if name != "HiGHS":
        return run_generic(
            model, name, deadline=task.deadline, gap=task.gap, seed=task.seed, start=start
        )

    def tell(elapsed_s: float, cost: float | None, bound: float | None) -> None:
        assert task.on_progress is not None
        value, bound = (None if v is None else model.unit * v for v in (cost, bound))
        objective = Objective(goal=step_goal(task.demand), value=value, bound=bound)
        task.on_progress(Progress(elapsed_s=elapsed_s, objective=objective))

    return run_highs(
        model,
        deadline=task.deadline,
        gap=task.gap,
        seed=task.seed,
        start=start,
        on_better=None if task.on_progress is None else tell,
    )


def _usable_start(
    task: Task, placement: Placement | None, min_blocks: int, aggregate: bool
) -> list[PlannedRoute] | None:
    """Routes of all bundles on the start placement, None if the programme would refuse them."""
    if placement is None:
        return None
    blocks = placement.num_blocks
    if (blocks < min_blocks).any() or (blocks > task.problem.max_blocks).any():
        return None
    paths = paths_on(task.cost, bundles_of(task.demand, aggregate=aggregate), placement)
    if paths is None or unsound(task.cost, placement, paths, task.demand):
        return None
    return paths


def _plans(
    model: Model,
    outcome: Outcome,
    warm_start: Placement | None,
    paths: Sequence[PlannedRoute] | None,
) -> list[_Plan]:
    """The solver's plan and the one it was given: a solver may lose its start."""
    plans = []
    if outcome.values is not None:
        names = (v.name for v in model.prob.variables())
        placement, found = extract(model, dict(zip(names, outcome.values.tolist(), strict=True)))
        plans.append(_Plan(placement, merged(found)))
    if warm_start is not None and paths is not None and outcome.state != "infeasible":
        plans.append(_Plan(warm_start, merged(paths)))
    return plans


def _explain(outcome: Outcome, label: str, limit_s: float, bound: float | None) -> None:
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
        f"{label}: no plan within {limit_s:g} s{known}; give more time or a warm start",
        bound=bound,
    )
