"""``swarmplan compare``: methods side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import render
from ..core.names import Quality, names
from .outputs import writes, written
from .shared import (
    FILE,
    common_options,
    completes,
    handle_errors,
    length_options,
    load,
    scenario_argument,
    ways_to_draft,
    workload_options,
)

if TYPE_CHECKING:
    from ..core.names import Admission, LengthMode, Speculating


@click.command()
@scenario_argument
@click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    shell_complete=completes("methods"),
    help="Method to compare, or METHOD+ROUTER (repeat); the first is the baseline.",
)
@click.option(
    "--plan", "plans", type=FILE, multiple=True, help="Plan file to compare as well (repeat)."
)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--join-orders",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Random join orders of PETALS' servers per seed.",
)
@click.option(
    "--metric",
    "quality",
    type=click.Choice(names(Quality)),
    default="mean",
    show_default=True,
    help="What service is judged by, and routed for where a method's router can: mean or 95th "
    "percentile of the response, slow-down, time beyond the deadlines, clients alike.",
)
@click.option(
    "--speculation",
    metavar="none,petals,auto",
    callback=ways_to_draft,
    help="Every method once for each: clients draft nothing, ten tokens as PETALS' class does, "
    "or as it is planned [as the scenario says].",
)
@click.option("--report", "html", type=FILE, help="Write a self-contained HTML report.")
@workload_options
@length_options
@common_options
@handle_errors
@writes(html="report")
def command(
    scenario: Path,
    methods: tuple[str, ...],
    plans: tuple[Path, ...],
    seeds: int,
    join_orders: int,
    quality: Quality,
    speculation: tuple[Speculating, ...],
    html: Path | None,
    requests: int | None,
    factor: float,
    admission: Admission,
    lengths: LengthMode | None,
    quantile: float | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run methods side by side on the same requests with equal constants."""
    from .. import api
    from ..methods.table import DEFAULT_COMPARISON
    from ..reports.write import Kept, report_comparison
    from ..scenarios.scenario import with_lengths
    from ..views.comparison import comparison_document, print_comparison

    loaded = with_lengths(load(scenario), lengths, quantile)
    kept = Kept()
    with render.progress("simulating", quiet=quiet) as report:
        comparison = api.compare(
            loaded,
            [*(methods or DEFAULT_COMPARISON), *plans],
            seeds=range(seed, seed + seeds),
            join_orders=join_orders,
            requests=requests,
            load=factor,
            admission=admission,
            quality=quality,
            speculation=speculation,
            on_progress=report,
            on_result=kept.add if html is not None else None,
        )
    if html is not None:
        of = range(seed, seed + seeds)
        written(html, lambda path: report_comparison(path, loaded, comparison, kept, of))
    if as_json:
        render.print_json(comparison_document(comparison))
    else:
        print_comparison(comparison)
