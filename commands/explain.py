"""``swarmplan explain``: where the time of a route goes."""

from __future__ import annotations

from pathlib import Path

import click

from .. import render
from .shared import (
    FILE,
    common_options,
    handle_errors,
    load,
    method_option,
    scenario_argument,
)


@click.command()
@scenario_argument
@click.option("--plan", "plan_path", type=FILE, help="Explain this plan file.")
@method_option("Method when no plan is given.")
@click.option("--client", help="Client id [every client that has a route].")
@common_options
@handle_errors
def command(
    scenario: Path,
    plan_path: Path | None,
    method: str,
    client: str | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show where the time of a route goes, hop by hop, and why not the alternatives."""
    from .. import api
    from ..views.explanation import explanations_document, print_explanations

    loaded = load(scenario)
    made = api.read(loaded, plan_path) if plan_path else api.plan(loaded, method, seed=seed)
    found = api.explain(loaded, made, client)
    if as_json:
        render.print_json(explanations_document(loaded.problem, found))
    else:
        print_explanations(loaded.problem, found)
