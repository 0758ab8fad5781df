"""``swarmplan simulate``: run the requests of a scenario through a placement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import render
from .outputs import writes, written
from .shared import (
    FILE,
    common_options,
    handle_errors,
    length_options,
    load,
    method_option,
    router_option,
    scenario_argument,
    workload_options,
)

if TYPE_CHECKING:
    from ..core.names import Admission, LengthMode


@click.command()
@scenario_argument
@click.option("--plan", "plan_path", type=FILE, help="Simulate this plan file.")
@method_option("Method when no plan is given.")
@router_option
@click.option("--table", type=FILE, help="Write one row per request (.csv or .jsonl).")
@workload_options
@length_options
@common_options
@handle_errors
@writes(table="requests")
def command(
    scenario: Path,
    plan_path: Path | None,
    method: str,
    router: str | None,
    table: Path | None,
    requests: int | None,
    factor: float,
    admission: Admission,
    lengths: LengthMode | None,
    quantile: float | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Simulate the scenario's requests through one placement and router."""
    from .. import api
    from ..scenarios.scenario import with_lengths
    from ..views.simulation import print_result, result_document

    loaded = with_lengths(load(scenario), lengths, quantile)
    result = api.simulate(
        loaded,
        plan_path,
        method=method,
        router=router,
        requests=requests,
        load=factor,
        admission=admission,
        seed=seed,
    )
    if table is not None:
        written(table, result.write)
    if as_json:
        render.print_json(result_document(loaded.problem, result))
    else:
        print_result(loaded.problem, result)
