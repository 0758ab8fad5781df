"""``swarmplan verify``: re-check a plan without a solver."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .. import render
from .shared import FILE, handle_errors, load, scenario_argument


@click.command()
@click.argument("plan_file", metavar="PLAN", type=FILE)
@scenario_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@handle_errors
def command(plan_file: Path, scenario: Path, as_json: bool) -> None:
    """Re-check a plan, also one edited by hand, without a solver; list every violation."""
    from .. import views
    from ..perfmodel.predict import verify as verify_plan
    from ..scenarios.planfile import STALE, read_plan

    loaded = load(scenario)
    checked = read_plan(plan_file, loaded)
    for told in checked.notes:
        if told == STALE:
            render.note(f"warning: {told}")
    violations = verify_plan(loaded.problem, checked)
    if as_json:
        render.print_json(views.violations_document(violations))
    else:
        views.print_violations(plan_file, violations)
    if violations:
        sys.exit(2)
