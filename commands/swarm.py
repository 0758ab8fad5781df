"""``swarmplan swarm``: read, serve and route a live PETALS swarm by a plan."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from .. import render
from .shared import handle_errors

#: Name -> (module of this package, one line of help); loaded when called.
_SUBCOMMANDS: dict[str, tuple[str, str]] = {}


class _SwarmGroup(click.Group):
    """A group whose larger subcommands live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *_SUBCOMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _SUBCOMMANDS:
            command = import_module(f".{_SUBCOMMANDS[cmd_name][0]}", __package__).command
            assert isinstance(command, click.Command)
            command.name = cmd_name
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=_SwarmGroup)
def command() -> None:
    """Read, serve and route a live PETALS swarm by a plan.

    Works beside PETALS in an environment of its own: make swarm-env. The commands that only
    handle files (launch-files, inspect --health) work everywhere.
    """


@command.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@handle_errors
def doctor(as_json: bool) -> None:
    """Say what is installed for the live side, what is wrong, and how to mend it."""
    from ..swarm.doctor import examine, is_usable

    findings = examine()
    rows = [(f.what, f.found, f.verdict, f.advice) for f in findings]
    columns = ("what", "found", "verdict", "advice")
    if as_json:
        found = [dict(zip(columns, row, strict=True)) for row in rows]
        render.print_json({"usable": is_usable(findings), "findings": found})
    else:
        render.print_table("live side", columns, rows)
    sys.exit(0 if is_usable(findings) else 6)
