"""``swarmplan plan``: decide which server hosts which blocks."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .. import render
from .shared import FILE, common_options, handle_errors, load, scenario_argument


@click.command()
@scenario_argument
@click.option("--method", default="cg-bp", show_default=True, help="Placement method.")
@click.option("-o", "--output", type=FILE, help="Write the plan file.")
@click.option("--sessions", type=click.IntRange(1), help="Concurrent sessions R to plan for.")
@click.option(
    "--require-gap",
    type=click.FloatRange(0, 1),
    help="Exit with 4 when the proven gap is larger or unknown.",
)
@common_options
@handle_errors
def command(
    scenario: Path,
    method: str,
    output: Path | None,
    sessions: int | None,
    require_gap: float | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Decide which server hosts which blocks and which chains requests take."""
    from .. import api, views
    from ..scenarios.planfile import plan_document, write_plan

    loaded = load(scenario)
    problem = api.with_sessions(loaded.problem, sessions)
    made = api.plan(problem, method, seed=seed)
    if output is not None:
        write_plan(output, made, loaded)
        render.note(f"wrote {output}")
    if as_json:
        render.print_json(plan_document(made, loaded))
    else:
        views.print_plan(problem, made)
    gap = made.certificate.gap
    if require_gap is not None and (gap is None or gap > require_gap):
        render.note(f"error: the proven gap is {render.number(gap)}, wanted {require_gap}")
        sys.exit(4)
