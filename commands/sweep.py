"""``swarmplan sweep``: many configurations, resumable, on this machine or on a cluster."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import render
from .outputs import check_default, writes, written
from .shared import FILE, handle_errors, load

if TYPE_CHECKING:
    from ..studies.sweep import Backend


@click.command()
@click.argument("sweep", metavar="SWEEP", type=FILE)
@click.option("-o", "--output", type=FILE, help="Results, JSON Lines [SWEEP's name + .jsonl].")
@click.option(
    "-j", "--jobs", type=click.IntRange(1), help="Processes or workers [cores of this machine]."
)
@click.option(
    "--backend",
    type=click.Choice(["loky", "ray", "dask"]),
    default="loky",
    show_default=True,
    help="Where it runs: processes here, or a cluster.",
)
@click.option("--address", help="A running Ray or Dask cluster; without it one is started here.")
@click.option("--report", "html", type=FILE, help="Write a self-contained HTML report.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@partial(handle_errors, keeps=True)
@writes(output="results", html="report")
def command(
    sweep: Path,
    output: Path | None,
    jobs: int | None,
    backend: Backend,
    address: str | None,
    html: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run every configuration of a sweep file.

    Results are written as they finish. The same command goes on where an earlier one was stopped,
    however it was stopped.
    """
    from ..studies.store import Store
    from ..studies.sweep import run_sweep
    from ..studies.sweepfile import load_sweep
    from ..views.sweep import print_groups

    plan = load_sweep(sweep)
    path = output or Path(sweep.name).with_suffix(".jsonl")
    if output is None:
        check_default(path, "results", [sweep, plan.scenario])
    with Store(path, plan.sha256, len(plan.points)) as store:
        if store.done:
            render.note(f"{len(store.done)} of {len(plan.points)} results were there already")
        with render.progress("sweeping", quiet=quiet) as report:
            records = run_sweep(
                plan,
                store,
                jobs=jobs or os.cpu_count() or 1,
                backend=backend,
                address=address,
                on_progress=report,
            )
    render.note(f"wrote {path}")
    if as_json:
        render.print_json({"sweep_sha256": plan.sha256, "results": records})
    else:
        print_groups(records)
    if html is not None:
        from ..reports.write import report_sweep

        base = load(plan.scenario)
        written(html, lambda path: report_sweep(path, base, records, plan.sha256))
