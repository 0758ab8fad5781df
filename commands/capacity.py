"""``swarmplan capacity``: the highest rate that a swarm sustains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import render
from .outputs import writes, written
from .shared import (
    ADMISSION,
    FILE,
    FiniteRange,
    common_options,
    handle_errors,
    length_options,
    load,
    scenario_argument,
)

if TYPE_CHECKING:
    from ..core.names import Admission, LengthMode


@click.command()
@scenario_argument
@click.option("-o", "--output", type=FILE, help="Write the plan that sustains most.")
@click.option(
    "--admission",
    type=ADMISSION,
    default="retry",
    show_default=True,
    help="What a request does when its servers are full.",
)
@click.option(
    "--time-limit",
    type=FiniteRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds to search; a run that has begun is ended.",
)
@length_options
@common_options
@handle_errors
@writes(output="plan")
def command(
    scenario: Path,
    output: Path | None,
    admission: Admission,
    time_limit: float,
    lengths: LengthMode | None,
    quantile: float | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the highest rate that the swarm sustains, and what binds there.

    A bound that no plan and no router exceeds, in memory and compute together; the best placement
    found, with the rate that its chains carry and the highest at which nothing piles up when it is
    simulated.
    """
    from .. import api
    from ..methods.draft import Settings
    from ..scenarios.planfile import write_plan
    from ..scenarios.scenario import with_lengths
    from ..views.capacity import capacity_document, print_capacity

    loaded = with_lengths(load(scenario), lengths, quantile)
    settings = Settings(seed=seed, time_limit_s=time_limit, admission=admission)
    with render.solving(quiet=quiet):
        found = api.capacity(loaded, settings=settings)
    if output is not None:
        made = api.plan_for(loaded, found, settings=settings)
        written(output, lambda path: write_plan(path, made, loaded))
    if as_json:
        render.print_json(capacity_document(loaded.problem, found))
    else:
        print_capacity(loaded.problem, found)
