"""The ``swarmplan`` command: a table of subcommands, each loaded when it is called."""

from __future__ import annotations

from . import interrupt

if __name__ == "__main__":
    interrupt.from_now_on()

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from .commands import streams
from .core.version import __version__

#: Name -> one line of help; ``commands/NAME.py`` holds the click object ``command``. The line is
#: repeated here so that ``--help`` loads none of them.
COMMANDS = {
    "demo": "PETALS against swarmplan on a shipped scenario, in half a minute.",
    "plan": "Decide which server hosts which blocks and which chains requests take.",
    "replan": "Find the best plan within a move budget and whether going there pays.",
    "simulate": "Simulate the scenario's requests through one placement and router.",
    "compare": "Run methods side by side on the same requests with equal constants.",
    "capacity": "Find the highest rate that the swarm sustains, proven and found, and what binds.",
    "verify": "Re-check a plan, also one edited by hand, without a solver.",
    "explain": "Show where the time of a route goes, and why not the alternatives.",
    "whatif": "Show what happens if servers join, leave or fail, if load or network change.",
    "studio": "Open a page on which servers are dragged and the swarm answers at once.",
    "size": "Find the smallest or cheapest set of servers that meets a target.",
    "sweep": "Run many configurations: lists, variants, seeds; resumable, also on a cluster.",
    "regions": "Read a large swarm by regions or data centres, and what that loses.",
    "length": "Train, judge and use predictors of the output length.",
    "calibrate": "Fit a device profile to measured block times.",
    "scenario": "Validate, generate and show scenario files.",
    "init": "Write a scenario file from five questions.",
    "list": "List devices, models, methods, routers, topologies or shipped scenarios.",
    "example": "Write a shipped scenario file.",
    "swarm": "Read, serve and route a live PETALS swarm by a plan.",
}


class LazyGroup(click.Group):
    """A group that imports a subcommand only when it is used."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line; Ctrl-C and closed streams end it without a traceback."""
        run: Callable[..., Any] = super().main  # click has an overload for each mode
        if not extra.pop("standalone_mode", True):
            return run(*args, standalone_mode=False, **extra)
        streams.prepare()
        with streams.guarded():
            try:
                code = run(*args, standalone_mode=False, **extra)
            except click.ClickException as error:
                error.show()
                sys.exit(error.exit_code)
            except (click.Abort, KeyboardInterrupt):
                sys.stderr.write("interrupted\n")
                sys.exit(interrupt.CODE)
            except SystemExit as stop:
                sys.exit(streams.CLOSED_PIPE if streams.is_cut_off() else stop.code)
            sys.exit(code if isinstance(code, int) else 0)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand, None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = cmd_name.replace("-", "_")
        command = import_module(f".commands.{module}", __package__).command
        assert isinstance(command, click.Command)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in ``--help``, without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="swarmplan")
def main() -> None:
    """Plan, simulate and compare PETALS swarms.

    Which server should host which transformer blocks, which chain of servers should a request
    take, and what will happen then?

    Exit codes: 0 fine, 2 bad input, 3 infeasible, 4 no solution within the limits, 5 swarm
    unreachable, 6 optional part missing, 130 interrupted, 1 a bug.
    """


if __name__ == "__main__":
    try:
        main()
    finally:
        interrupt.over()
