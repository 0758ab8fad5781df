"""``swarmplan whatif``: what happens if servers, load or network change."""

from __future__ import annotations

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
    from ..scenarios.scenario import Scenario
    from ..studies.edits import Edit

#: Option, metavar, help; in the order in which they are applied.
EDITS = (
    ("add-server", "FIELDS", "id=NAME,device=TYPE,lat=..,lon=.. or id=NAME,like=SERVER"),
    ("add-client", "FIELDS", "id=NAME,like=CLIENT,lat=..,lon=..: asks for what the other one does"),
    ("remove", "NAME", "A server, a count group, a region or a client leaves"),
    ("move", "NAME=PLACE", "PLACE: lat,lon, a topology node, or a machine to stand beside"),
    ("set", "PATH=VALUE", "Any field: servers.ID.memory_gb=24, network.step_overhead_ms=5"),
    ("scale-load", "[CLIENT=]FACTOR", "Multiply the arrival rate"),
    ("rtt-scale", "FACTOR", "Multiply every round-trip time"),
    ("acceptance", "A", "How often drafts are right: 0.7, or [0.9, 0.8, 0.6] one after the other"),
    ("draft-ms", "MS", "What a draft takes the client"),
)


def edit_options(command: click.decorators.FC) -> click.decorators.FC:
    """One repeatable option per kind of edit."""
    for name, metavar, text in reversed(EDITS):
        command = click.option(
            f"--{name}", metavar=metavar, multiple=True, help=f"{text} (repeat)."
        )(command)
    return command


@click.command()
@scenario_argument
@edit_options
@click.option(
    "--fail", multiple=True, metavar="NAME", help="A server or region drops out (repeat)."
)
@click.option("--keep", is_flag=True, help="Show also what happens while no server moves blocks.")
@click.option("--each-server", is_flag=True, help="Rank the servers by what is lost without each.")
@click.option(
    "--host-cache",
    is_flag=True,
    help="Would caches in host memory pay? Hypothetical: PETALS has none.",
)
@click.option(
    "--host-slower",
    type=FiniteRange(0, min_open=True),
    metavar="TIMES",
    help="How many times as long attention takes on hosts [as measured beside an H100].",
)
@study_options("auto", 3)
@click.option("-o", "--output", type=FILE, help="Write the edited scenario.")
@click.option("--report", "html", type=FILE, help="Write a self-contained HTML report.")
@common_options
@handle_errors
@writes(output="scenario", html="report")
def command(
    scenario: Path,
    fail: tuple[str, ...],
    keep: bool,
    each_server: bool,
    host_cache: bool,
    host_slower: float | None,
    method: str,
    router: str | None,
    seeds: int,
    output: Path | None,
    html: Path | None,
    requests: int | None,
    admission: Admission,
    seed: int,
    as_json: bool,
    quiet: bool,
    **edit_texts: tuple[str, ...],
) -> None:
    """What happens if servers join, leave, move or fail, if load or distances change.

    Edits compose; they are applied in the order of this list. The same requests are simulated
    before and after.
    """
    from ..reports import write
    from ..studies import edits
    from ..studies.change import what_if
    from ..studies.edits import edits_of
    from ..studies.outcome import Study
    from ..studies.worth import rank_servers
    from ..views.change import change_document, print_change
    from ..views.worth import print_worth, worth_document

    if each_server and (fail or keep):
        raise click.UsageError("--each-server ranks by leaving out: it takes no --fail, no --keep")
    loaded = load(scenario)
    chosen = edits_of(edit_texts)
    study = Study(
        method=method,
        router=router,
        seeds=tuple(range(seed, seed + seeds)),
        requests=requests,
        admission=admission,
    )
    if output is not None:
        _write(output, scenario, chosen)
    if host_cache:
        _host_cache(edits.apply(loaded, chosen), method, host_slower, seed, as_json=as_json)
        return
    if each_server:
        edited = edits.apply(loaded, chosen)
        with render.progress("without", quiet=quiet) as report:
            base, found = rank_servers(loaded, study, edits=chosen, on_progress=report)
        if as_json:
            render.print_json(worth_document(base, found))
        else:
            print_worth(base, found)
        if html is not None:
            written(html, lambda path: write.report_worth(path, edited, base, found, method))
        return
    if not chosen and not fail:
        raise click.UsageError("nothing to change: give an edit, --fail or --each-server")
    change = what_if(loaded, chosen, study, fail=fail, keep=keep)
    if as_json:
        render.print_json(change_document(change))
    else:
        print_change(change)
    if html is not None:
        written(html, lambda path: write.report_change(path, loaded, change, method))


def _host_cache(
    scenario: Scenario, method: str, slower: float | None, seed: int, *, as_json: bool
) -> None:
    """Where a plan's servers would gain from caches in host memory."""
    from .. import api
    from ..studies.hostcache import offloading
    from ..views.hostcache import offloading_document, print_offloading

    found = offloading(scenario.problem, api.plan(scenario, method, seed=seed), slower)
    if as_json:
        render.print_json(offloading_document(found, measured=slower is None))
    else:
        print_offloading(found, measured=slower is None)


def _write(output: Path, scenario: Path, chosen: list[Edit]) -> None:
    """The edited file; load and distance factors have no field there and are left out."""
    from ..scenarios.files import parse_file
    from ..scenarios.generate import write_document
    from ..studies.edits import edited_document

    document = edited_document(parse_file(scenario), chosen)
    written(output, lambda path: write_document(path, document))
    for edit in chosen:
        if edit.document is None:
            render.note(f"not in the file, which has no field for it: {edit.text}")
