"""``swarmplan plan``: decide which server hosts which blocks."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import render
from .constraints import ConstraintOptions, constraint_options
from .outputs import writes, written
from .shared import (
    ADMISSION,
    FILE,
    FiniteRange,
    common_options,
    completes,
    handle_errors,
    load,
    scenario_argument,
    search_options,
)

if TYPE_CHECKING:
    from ..core.names import Admission, Aim, Metric
    from ..core.plan import Certificate


@click.command()
@scenario_argument
@click.option(
    "--method",
    shell_complete=completes("methods"),
    default="auto",
    show_default=True,
    help="Placement method.",
)
@click.option(
    "--router", shell_complete=completes("routers"), help="Router in place of the method's own."
)
@click.option("-o", "--output", type=FILE, help="Write the plan file.")
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
    html: Path | None,
    sessions: int | None,
    require_gap: float | None,
    admission: Admission,
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
    from ..scenarios.overrides import constrained
    from ..scenarios.planfile import plan_document, read_plan, write_plan
    from ..views.plan import print_plan

    loaded = load(scenario)
    problem = loaded.problem
    current = [] if asked.current is None else [read_plan(asked.current, loaded)]
    if asked.any:
        problem = constrained(loaded, asked=asked.fields, current=asked.current, keep=asked.keep)
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
            on_progress=report,
        )
        made = api.plan(problem, method, router=router, sessions=sessions, settings=settings)
    if output is not None:
        written(output, lambda path: write_plan(path, made, loaded))
    if html is not None:
        from ..reports.write import report_plan

        written(html, lambda path: report_plan(path, loaded, made))
    if as_json:
        render.print_json(plan_document(made, loaded))
    else:
        print_plan(problem, made)
    sys.exit(_exit_code(made.certificate, require_gap))


def _exit_code(proof: Certificate, wanted: float | None) -> int:
    """130 after Ctrl-C, 4 when less is proven than was asked for."""
    if proof.interrupted:
        render.note("interrupted: this is the best plan until then")
        return 130
    if wanted is not None and (proof.gap is None or proof.gap > wanted):
        render.note(f"error: the proven gap is {render.number(proof.gap)}, wanted {wanted}")
        return 4
    return 0
