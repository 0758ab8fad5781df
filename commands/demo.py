"""``swarmplan demo``: PETALS against swarmplan, in one go."""

from __future__ import annotations

from pathlib import Path

import click

from .. import render
from .outputs import writes, written
from .shared import FILE, FiniteRange, handle_errors, load


@click.command()
@click.argument("scenario", type=FILE, required=False)
@click.option(
    "-o", "--output", type=FILE, default="demo.plan.json", show_default=True, help="The plan file."
)
@click.option(
    "--report", "html", type=FILE, default="demo.html", show_default=True, help="The HTML report."
)
@click.option(
    "--time-limit",
    type=FiniteRange(0, min_open=True),
    default=8.0,
    show_default=True,
    help="Seconds to search.",
)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--map/--no-map", "drawn", default=True, help="Draw a map.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@handle_errors
@writes(output="plan", html="report")
def command(
    scenario: Path | None,
    output: Path,
    html: Path,
    time_limit: float,
    seeds: int,
    drawn: bool,
    quiet: bool,
) -> None:
    """PETALS against swarmplan on a scenario [a shipped one], half a minute in all.

    Plans once, runs the plan and its rivals on the same requests, and ends with what it found.
    """
    from .. import api
    from ..methods.draft import Settings
    from ..reports.textmap import print_map
    from ..reports.write import Kept, report_comparison
    from ..scenarios.planfile import write_plan
    from ..scenarios.shipped import shipped_file
    from ..studies.roles import roles_of
    from ..views.comparison import print_comparison
    from ..views.demo import RIVALS, opening, print_findings, what_next
    from ..views.roles import print_roles

    path = scenario or shipped_file("demo")
    loaded = load(path)
    problem, numbers = loaded.problem, range(seeds)
    render.print_lines([*opening(loaded), ""])
    # The first run on a machine compiles the simulator: that is not the search's time.
    roles_of(problem, api.plan(problem, "cg-bp", router="overlap"), limit_s=0.1)
    with render.solving(quiet=quiet) as searching:
        settings = Settings(time_limit_s=time_limit, on_progress=searching)
        made = api.plan(problem, settings=settings)
    kept = Kept()
    with render.progress("simulating", quiet=quiet) as progress:
        comparison = api.compare(
            loaded,
            [*RIVALS, made],
            seeds=numbers,
            on_progress=progress,
            on_result=kept.add,
        )
        roles = roles_of(problem, made, limit_s=time_limit / 3)
    print_comparison(comparison)
    print_roles(roles)
    if drawn:
        print_map(problem, made)
    print_findings(comparison, roles, api.verify(loaded, made))
    written(output, lambda place: write_plan(place, made, loaded))
    written(
        html,
        lambda place: report_comparison(
            place, loaded, comparison, kept, numbers, plan=made, roles=roles
        ),
    )
    render.print_lines(what_next(problem, scenario, output, html))
