"""``swarmplan example``: a shipped scenario as a file of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from .outputs import check_default, writes, written
from .shared import FILE, completes, handle_errors


@click.command()
@click.argument("name", shell_complete=completes("scenarios"))
@click.option("-o", "--output", type=FILE, help="Where to [NAME.toml in this folder].")
@handle_errors
@writes(output="scenario")
def command(name: str, output: Path | None) -> None:
    """Write a shipped scenario file, to try it or to begin with.

    `swarmplan list scenarios` tells what there is.
    """
    from ..scenarios.files import write_text
    from ..scenarios.shipped import shipped_file

    source = shipped_file(name)
    target = output or Path(source.name)
    if output is None:
        check_default(target, "scenario", [])
    text = source.read_text(encoding="utf-8")
    written(target, lambda path: write_text(path, text))
