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
    from .. import api
    from ..methods.verify import sound
    from ..views.findings import findings_document, print_findings

    findings = api.verify(load(scenario), plan_file)
    if as_json:
        render.print_json(findings_document(findings))
    else:
        print_findings(plan_file, findings)
    if not sound(findings):
        sys.exit(2)
