"""``swarmplan swarm status``: servers, chain, plan and watcher of a live swarm on one screen."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from .. import render
from .reading import reading_options, terms_of, weighing_options
from .shared import handle_errors


@click.command()
@reading_options
@weighing_options
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Of a watch of this swarm, whose state is taken into account (and not changed).",
)
@click.option(
    "--map/--no-map", "drawn", default=None, help="Draw a map [where the output is a terminal]."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@partial(handle_errors, keeps=True)
def command(
    confirm: int,
    horizon_hours: float,
    margin: float,
    folder: Path | None,
    drawn: bool | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Show who serves what, which hop is slow, the plan, and what watch --publish would do.

    Reads the swarm once and changes nothing. Predicted is a token of a session that is alone, by
    the cost model; measured is what servers with the plugin say of their own work, with the way
    there added, or what --probe measures from here.
    """
    import time

    from ..swarm.inspecting import Wanted
    from ..swarm.status import status_of
    from ..swarm.turn import dry_turn
    from ..swarm.verdict import State, Weighing
    from ..swarm.watch import restored
    from ..views.status import print_status, status_document

    terms = terms_of(horizon_hours, margin)
    weighing = Weighing(confirm=confirm, terms=terms, publishes=True)
    state = State() if folder is None else restored(folder)
    turn = dry_turn(Wanted(**reading), state, weighing, time.time())
    status = status_of(turn, confirm)
    for line in status.warnings:
        render.note(f"warning: {line}")
    if as_json:
        render.print_json(status_document(status))
        return
    print_status(status)
    if render.draws(drawn) and any(s.coordinates for s in status.problem.servers):
        from ..reports.sections import Chain
        from ..reports.textmap import print_places

        chains = [Chain(client=0, route=status.route, weight=1.0)] if status.route else []
        print_places(status.problem, status.placement, chains)
