"""``swarmplan plan``: decide which server hosts which blocks."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import interrupt, render
from .constraints import ConstraintOptions, constraint_options
from .outputs import check_default, writes, written
from .shared import (
    ADMISSION,
    FILE,
    FiniteRange,
    common_options,
    handle_errors,
    load,
    method_option,
    router_option,
    scenario_argument,
    search_options,
)

if TYPE_CHECKING:
    from ..core.names import Admission, Aim, Metric
    from ..core.plan import Certificate, Plan
    from ..core.problem import Problem
    from ..studies.roles import Roles

#: Share of the time that a search took, for which the simulator is then asked who could go.
ROLES_SHARE = 0.1


@click.command()
@scenario_argument
@method_option("Placement method.")
@router_option
@click.option("-o", "--output", type=FILE, help="Write the plan file.")
@click.option(
    "--export",
    type=(click.Choice(["helix"]), FILE),
    help="Write the layout as another tool reads it: of a cluster made by scenario helix. For "
    "throughput it is planned for that tool's scheduler, unless --router names another one.",
)
@click.option("--report", "html", type=FILE, help="Write a self-contained HTML report.")
@click.option("--sessions", type=click.IntRange(1), help="Concurrent sessions R to plan for.")
@click.option(
    "--require-gap",
    type=FiniteRange(0, 1),
    help="Exit with 4 when the proven gap is larger or unknown.",
)
@click.option(
    "--admission",
    type=ADMISSION,
    default="retry",
    show_default=True,
    help="What a request does when its servers are full, where auto simulates.",
)
@click.option(
    "--each-server",
    is_flag=True,
    help="Simulate the plan without each server in turn, however long it takes [for a tenth of "
    "the search's time, where the method simulates].",
)
@click.option(
    "--accuracy-budget",
    "budget",
    type=FiniteRange(0),
    help="The most that a route's precisions may raise the perplexity, per cent.",
)
@click.option(
    "--precision",
    "precisions",
    help="Of the precisions that servers may have, consider only these: bf16,nf4.",
)
@click.option(
    "--wire",
    "wires",
    metavar="NAMES",
    help="Of the ways that states may go over links, consider only these: none,uniform_8bit.",
)
@click.option(
    "--frontier",
    type=click.Choice(["accuracy"]),
    help="Show what time per token costs what accuracy instead of one plan.",
)
@click.option(
    "--map/--no-map", "drawn", default=None, help="Draw a map [where the output is a terminal]."
)
@search_options
@constraint_options
@common_options
@partial(handle_errors, keeps=True)
@writes(output="plan", html="report")
def command(
    scenario: Path,
    method: str,
    router: str | None,
    output: Path | None,
    export: tuple[str, Path] | None,
    html: Path | None,
    sessions: int | None,
    require_gap: float | None,
    admission: Admission,
    each_server: bool,
    budget: float | None,
    precisions: str | None,
    wires: str | None,
    frontier: str | None,
    drawn: bool | None,
    asked: ConstraintOptions,
    time_limit: float,
    gap: float,
    solver: str,
    aim: Aim | None,
    metric: Metric,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Decide which server hosts which blocks and which chains requests take."""
    from .. import api
    from ..methods.draft import Settings
    from ..scenarios.accuracy import narrowed
    from ..scenarios.overrides import constrained
    from ..scenarios.planfile import plan_document, read_plan, write_plan
    from ..studies.accuracy import tradeoffs
    from ..views.accuracy import show_tradeoffs
    from ..views.plan import print_plan
    from ..views.roles import print_roles, roles_document

    loaded = load(scenario)
    problem = loaded.problem
    if export is not None:
        check_default(export[1], "layout", [scenario, *(p for p in (output, html) if p)])
    current = [] if asked.current is None else [read_plan(asked.current, loaded)]
    if export is not None and router is None and aim == "throughput":
        router = "max-flow"
    if asked.any:
        problem = constrained(loaded, asked=asked.fields, current=asked.current, keep=asked.keep)
    only = {"precisions": _names(precisions), "wires": _names(wires)}
    problem = narrowed(problem, budget_percent=budget, **only)
    if frontier is not None:
        show_tradeoffs(problem, tradeoffs(problem, sessions), as_json=as_json)
        return
    with render.solving(quiet=quiet) as report:
        settings = Settings(
            seed=seed,
            time_limit_s=time_limit,
            gap=gap,
            solver=solver,
            aim=aim,
            metric=metric,
            admission=admission,
            known=tuple((plan.placement, plan.router) for plan in current),
            routed=tuple((plan.placement, plan.routes) for plan in current),
            on_progress=report,
        )
        began_s = time.monotonic()
        made = api.plan(problem, method, router=router, sessions=sessions, settings=settings)
        searched_s = time.monotonic() - began_s
    if output is not None:
        written(output, lambda path: write_plan(path, made, loaded))
    if export is not None:
        from ..scenarios.helix import layout_of, write_layout

        layout = layout_of(made.placement, tuple(s.id for s in problem.servers))
        written(export[1], lambda path: write_layout(path, layout))
    limit_s = (
        None if each_server else ROLES_SHARE * searched_s * (made.certificate.trial is not None)
    )
    roles, cut_off = _roles(problem, made, limit_s, admission)
    if html is not None:
        from ..reports.write import report_plan

        written(html, lambda path: report_plan(path, loaded, made, roles))
    if as_json:
        render.print_json(plan_document(made, loaded, roles=roles_document(roles)))
    else:
        print_plan(problem, made)
        print_roles(roles)
        if render.draws(drawn):
            from ..reports.textmap import print_map

            print_map(problem, made)
    sys.exit(interrupt.CODE if cut_off else _exit_code(made.certificate, require_gap))


def _roles(
    problem: Problem, made: Plan, limit_s: float | None, admission: Admission
) -> tuple[Roles, bool]:
    """What each server is for, and whether Ctrl-C ended the looking."""
    from ..studies.roles import roles_of

    if made.certificate.interrupted:
        limit_s = 0.0
    try:
        return roles_of(problem, made, limit_s=limit_s, admission=admission), False
    except KeyboardInterrupt:
        render.note("interrupted: what is lost without a server was not simulated")
        return roles_of(problem, made), True


def _names(given: str | None) -> list[str]:
    return [name.strip() for name in given.split(",")] if given else []


def _exit_code(proof: Certificate, wanted: float | None) -> int:
    """130 after Ctrl-C, 4 when less is proven than was asked for."""
    if proof.interrupted:
        render.note("interrupted: this is the best plan until then")
        return 130
    if wanted is not None and (proof.gap is None or proof.gap > wanted):
        render.note(f"error: the proven gap is {render.number(proof.gap)}, wanted {wanted}")
        return 4
    return 0
