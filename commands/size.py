"""``swarmplan size``: how many servers, which and where, for a target."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import render
from .outputs import writes, written
from .shared import (
    FILE,
    FiniteRange,
    common_options,
    handle_errors,
    load,
    scenario_argument,
    study_options,
)

if TYPE_CHECKING:
    from ..core.names import Admission
    from ..studies.size import Minimise


@click.command()
@scenario_argument
@click.option("--catalogue", type=FILE, required=True, help="What can be had, and its price.")
@click.option(
    "--target",
    "wanted",
    multiple=True,
    required=True,
    metavar="FIGURE=LIMIT",
    help="[p95_]response_s, [p95_]ttft_s, [p95_]tpot_s, wait_s, kwh_per_million_tokens, "
    "money_per_million_tokens or egress_per_million_tokens at most, tokens_per_s or "
    "requests_per_s at least (repeat).",
)
@click.option(
    "--minimise",
    type=click.Choice(["count", "price"]),
    default="count",
    show_default=True,
)
@click.option("--scratch", is_flag=True, help="Leave out the scenario's own servers.")
@study_options("cg-bp", 2)
@click.option(
    "--most", type=click.IntRange(1), default=80, show_default=True, help="Sets to simulate."
)
@click.option(
    "--recover-within",
    "recover_s",
    type=FiniteRange(0),
    metavar="SECONDS",
    help="After the loss of any server spares load what is dark within so long.",
)
@click.option("-o", "--output", type=FILE, help="Write the scenario with the set that was found.")
@common_options
@handle_errors
@writes(output="scenario")
def command(
    scenario: Path,
    catalogue: Path,
    wanted: tuple[str, ...],
    minimise: Minimise,
    scratch: bool,
    method: str,
    router: str | None,
    seeds: int,
    most: int,
    recover_s: float | None,
    requests: int | None,
    admission: Admission,
    output: Path | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the smallest or cheapest set from a catalogue that meets targets in simulation.

    The scenario's own servers are there already and cost nothing. A lower bound says below what
    number or price no plan at all can meet the targets. Exit code 3 when it proves that nothing
    fits, 4 when nothing was found.
    """
    from ..scenarios.generate import write_document
    from ..studies.catalogue import load_market
    from ..studies.outcome import Study
    from ..studies.size import size
    from ..studies.target import parse_target
    from ..views.sizing import print_sizing, sizing_document

    market = load_market(load(scenario), catalogue, scratch=scratch)
    study = Study(
        method=method,
        router=router,
        seeds=tuple(range(seed, seed + seeds)),
        requests=requests,
        admission=admission,
    )
    targets = [parse_target(text) for text in wanted]
    with render.progress("simulating sets", quiet=quiet) as report:
        found = size(
            market,
            targets,
            study,
            minimise=minimise,
            most=most,
            recover_s=recover_s,
            on_progress=report,
        )
    if as_json:
        render.print_json(sizing_document(market, found))
    else:
        print_sizing(market, found)
    if found.best is None:
        sys.exit(3 if found.proven else 4)
    if output is not None:
        document = market.document(found.best.counts)
        written(output, lambda path: write_document(path, document))
