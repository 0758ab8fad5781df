"""``swarmplan regions``: a large swarm by regions or data centres, and what that loses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import render
from .shared import common_options, completes, handle_errors, load, scenario_argument

if TYPE_CHECKING:
    from ..studies.regions import By


@click.command()
@scenario_argument
@click.option(
    "--by",
    type=click.Choice(["region", "site"]),
    default="region",
    show_default=True,
    help="Servers of one region, or of one place (data centre), are a group.",
)
@click.option("--mixed", is_flag=True, help="Put unlike devices of one region or place together.")
@click.option(
    "--method",
    shell_complete=completes("methods"),
    default="cg-bp",
    show_default=True,
    help="Placement method.",
)
@common_options
@handle_errors
def command(
    scenario: Path,
    by: By,
    mixed: bool,
    method: str,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Read a swarm by groups of servers, and say what the grouping loses.

    Reports the entropy of the traffic that is lost, and a bound on the error in time of a plan
    that knows the groups only.
    """
    del quiet  # nothing takes long
    from ..methods.draft import Settings
    from ..studies.regions import aggregate, labels_of
    from ..views.regions import aggregation_document, print_aggregation

    problem = load(scenario).problem
    labels = labels_of(problem, by, mixed=mixed)
    found = aggregate(problem, labels, method, Settings(seed=seed))
    if as_json:
        render.print_json(aggregation_document(problem, found))
    else:
        print_aggregation(problem, found)
