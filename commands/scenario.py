"""``swarmplan scenario``: validate, show and generate scenario files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import render
from ..core.names import CacheKept, names
from .outputs import writes, written
from .shared import FILE, completes, handle_errors, load

if TYPE_CHECKING:
    from ..scenarios.generate import Kind
    from ..scenarios.scenario import Scenario


@click.group()
def command() -> None:
    """Validate, generate and show scenario files."""


@command.command("validate")
@click.argument("path", metavar="SCENARIO", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@handle_errors
def validate(path: Path, as_json: bool) -> None:
    """Check a scenario file and list every defect."""
    loaded = _load(path)
    if as_json:
        from ..perfmodel.validity import doubts

        said = {
            "warnings": loaded.warnings,
            "notes": loaded.notes,
            "doubts": doubts(loaded.problem),
        }
        render.print_json({"valid": True, "sha256": loaded.sha256, **said})
    else:
        render.print_lines([f"{path}: valid", f"sha256 {loaded.sha256}"])


@command.command("show")
@click.argument("path", metavar="SCENARIO", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@handle_errors
def show(path: Path, as_json: bool) -> None:
    """Describe what a scenario contains."""
    from ..scenarios.describe import describe

    sections = describe(_load(path))
    if as_json:
        render.print_json(
            {
                title: [dict(zip(columns, row, strict=True)) for row in rows]
                for title, columns, rows in sections
            }
        )
        return
    for title, columns, rows in sections:
        render.print_table(title, columns, rows)


def _load(path: Path) -> Scenario:
    """The scenario, with its warnings and what is to be known of its sources on stderr."""
    loaded = load(path)
    for note in loaded.notes:
        render.note(f"note: {note}")
    return loaded


@command.command("model")
@click.argument("model", metavar="CONFIG")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("-o", "--output", type=FILE, help="Write a [model] section of its blocks.")
@click.option("--name", help="What to call it; as its file or folder is called unless given.")
@click.option(
    "--cache",
    type=click.Choice(names(CacheKept)),
    default="full",
    show_default=True,
    help="What the runtime keeps, for --output.",
)
@handle_errors
@writes(output="scenario")
def model_command(
    model: str, as_json: bool, output: Path | None, name: str | None, cache: CacheKept
) -> None:
    """Show what the blocks of a model weigh, read and keep.

    CONFIG is a config.json in the format of Hugging Face, or the name of a model of the catalogue.
    """
    from ..scenarios.checkpoint import model_named
    from ..scenarios.generate import write_document
    from ..views.model import model_document, model_section, print_model

    known, found = model_named(model)
    called = name or known
    if output is not None:
        section = model_section(called, found, cache)
        written(output, lambda path: write_document(path, section))
    if as_json:
        render.print_json(model_document(called, found))
    elif output is None:
        print_model(called, found)


@command.command("schema")
@click.option("--plan", "plan_schema", is_flag=True, help="The schema of plan files instead.")
@handle_errors
def schema(plan_schema: bool) -> None:
    """Print the JSON Schema of scenario files."""
    from ..scenarios.schema import json_schema, plan_json_schema

    render.print_json(plan_json_schema() if plan_schema else json_schema())


@command.command("generate")
@click.argument("output", type=FILE)
@click.option(
    "--kind",
    type=click.Choice(["geographic", "reference", "topology", "data-centres", "volunteers"]),
    default="geographic",
    show_default=True,
)
@click.option("--servers", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--clients", type=click.IntRange(1, 1_000), default=3, show_default=True)
@click.option(
    "--topology",
    shell_complete=completes("topologies"),
    default="Abvt",
    show_default=True,
    help="For --kind topology.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@handle_errors
@writes(output="scenario")
def generate_command(
    output: Path, kind: Kind, servers: int, clients: int, topology: str, seed: int
) -> None:
    """Write a random but realistic scenario file."""
    from ..scenarios.generate import generate, write_document

    document = generate(kind, servers=servers, clients=clients, topology=topology, seed=seed)
    written(output, lambda path: write_document(path, document))
