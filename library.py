"""What ``import swarmplan`` offers: the functions of the commands, each takes names or objects.

Results are those of ``api`` and ``studies`` with ``to_dicts()`` (``DataFrame(result.to_dicts())``)
and, in a notebook, a picture. docs/library.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from . import api
from .api import Given, load, verify
from .core.errors import SwarmplanError
from .core.names import Admission
from .core.plan import Plan
from .methods.routers import AnyRouter
from .methods.table import AnyMethod
from .reports.write import Kept, report_change, report_comparison, report_plan
from .scenarios.scenario import Scenario
from .shown import (
    ShownChange,
    ShownComparison,
    ShownExplanation,
    ShownPlan,
    ShownRun,
    ShownSizing,
    shown,
)
from .simulator.compare import Comparison
from .studies import size as sizing
from .studies.catalogue import load_market
from .studies.change import Change, what_if
from .studies.edits import KINDS, Edit, edits_of
from .studies.outcome import Study
from .studies.target import parse_target

__all__ = ["compare", "explain", "load", "plan", "report", "simulate", "size", "verify", "whatif"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def _showing(function: Callable[P, R], show: Callable[[R, Any], S]) -> Callable[P, S]:
    """The function with results that can be shown; ``show`` also gets the scenario or problem."""

    @wraps(function)
    def showing(*args: P.args, **kwargs: P.kwargs) -> S:
        return show(function(*args, **kwargs), args[0] if args else kwargs["given"])

    return showing


plan = _showing(api.plan, lambda made, given: shown(ShownPlan, made, problem=api.problem_of(given)))
simulate = _showing(api.simulate, lambda result, given: shown(ShownRun, result))
explain = _showing(
    api.explain,
    lambda found, given: tuple(
        shown(ShownExplanation, e, problem=api.problem_of(given)) for e in found
    ),
)


@wraps(api.compare)
def compare(given: Given, *args: Any, **kwargs: Any) -> ShownComparison:
    """Methods side by side, with their runs."""
    kept = Kept()
    kwargs.setdefault("on_result", kept.add)
    return shown(ShownComparison, api.compare(given, *args, **kwargs), kept=kept)


def whatif(
    given: Scenario | Path | str,
    *edits: Edit,
    fail: Sequence[str] = (),
    keep: bool = False,
    method: AnyMethod = "auto",
    router: AnyRouter | None = None,
    seeds: Iterable[int] = range(3),
    requests: int | None = None,
    admission: Admission = "retry",
    **kinds: Any,
) -> ShownChange:
    """What happens if servers join, leave, move or fail, if load or distances change.

    Parameters
    ----------
    edits : of ``swarmplan.studies.edits``, applied after those by name.
    fail : servers or regions that drop out after planning.
    keep : show also what happens while no server moves blocks.
    kinds : edits by name, one or several each: ``add_server``, ``remove``, ``move``, ``set``,
        ``scale_load``, ``rtt_scale``, ``acceptance``, ``draft_ms``: the options of ``whatif``.

    Raises
    ------
    ScenarioError
        For an edit that names nothing or breaks the scenario.
    """
    named = {k: v if isinstance(v, list | tuple) else [v] for k, v in kinds.items()}
    unknown = set(named) - set(KINDS)
    if unknown:
        known = ", ".join(KINDS)
        raise SwarmplanError(f"no edit {min(unknown)!r}; there are {known}")
    study = Study(
        method=method, router=router, seeds=tuple(seeds), requests=requests, admission=admission
    )
    chosen = [*edits_of(named), *edits]
    return shown(ShownChange, what_if(_scenario(given), chosen, study, fail=fail, keep=keep))


def size(
    given: Scenario | Path | str,
    catalogue: Path | str,
    *targets: str,
    minimise: sizing.Minimise = "count",
    scratch: bool = False,
    method: AnyMethod = "cg-bp",
    router: AnyRouter | None = None,
    seeds: Iterable[int] = range(2),
    requests: int | None = None,
    admission: Admission = "retry",
    most: int = 80,
) -> ShownSizing:
    """The smallest or cheapest set of a catalogue that meets targets in simulation.

    Parameters
    ----------
    targets : such as ``"p95_response_s=60"``.
    scratch : leave out the scenario's own servers.
    most : sets that may be simulated.
    """
    market = load_market(_scenario(given), Path(catalogue), scratch=scratch)
    study = Study(
        method=method, router=router, seeds=tuple(seeds), requests=requests, admission=admission
    )
    wanted = [parse_target(text) for text in targets]
    found = sizing.size(market, wanted, study, minimise=minimise, most=most)
    return shown(ShownSizing, found, market=market)


def report(path: Path | str, given: Scenario | Path | str, result: object) -> None:
    """Write a plan, a comparison or a change as one HTML file that loads nothing from anywhere.

    Raises
    ------
    SwarmplanError
        For results of other kinds.
    """
    scenario, place = _scenario(given), Path(path)
    if isinstance(result, Plan):
        report_plan(place, scenario, result)
    elif isinstance(result, ShownComparison):
        report_comparison(place, scenario, result, result.kept, result.seeds)
    elif isinstance(result, Change):
        report_change(place, scenario, result, "the library")
    else:
        kind = type(result).__name__
        more = ": use swarmplan.compare" if isinstance(result, Comparison) else ""
        raise SwarmplanError(f"no report is made of {kind}{more}")


def _scenario(given: Scenario | Path | str) -> Scenario:
    return given if isinstance(given, Scenario) else load(given)
