"""``swarmplan list``: everything that can be named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .. import render
from ..core.names import Listed, names
from .shared import handle_errors

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@click.argument("kind", type=click.Choice(names(Listed)))
@click.argument("words", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@handle_errors
def command(kind: Listed, words: Sequence[str], as_json: bool) -> None:
    """List devices, models, methods, routers, topologies or shipped scenarios.

    WORDS narrow the list down to what has all of them, in any column.
    """
    from ..views.inventory import inventory

    found = inventory(kind, " ".join(words))
    if as_json:
        render.print_json({kind: found.document()})
    else:
        render.print_table("", found.columns, found.rows)
