"""The reference of the commands, from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from swarmplan.cli import main

_MARKS = re.compile(r"([*_\[\]])")


def commands_page() -> str:
    """Every command with its arguments and options."""
    head = "# Commands\n\nMade from the commands; `swarmplan COMMAND --help` prints the same.\n"
    return "\n".join([head, *_sections(main, click.Context(main, info_name="swarmplan"), 2)])


def _sections(command: click.Command, ctx: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {ctx.command_path}\n\n{_prose(command.help)}\n"
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    yield f"```text\n{usage}\n```\n"
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None and record[1] and "--help" not in param.opts:
            yield f"`{record[0]}`\n:   {_prose(record[1])}\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            assert inner is not None
            yield from _sections(inner, click.Context(inner, parent=ctx, info_name=name), level + 1)


def _prose(text: str | None) -> str:
    """Help as Markdown takes it; click's mark of lines that stay as they are makes them code."""
    parts = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(
        "```text\n" + part.removeprefix("\b\n") + "\n```"
        if part.startswith("\b")
        else _MARKS.sub(r"\\\1", part).replace("<", "&lt;")
        for part in parts
    )
