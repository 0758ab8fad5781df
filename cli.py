"""The ``swarmplan`` command: parse, call one function of ``api``, render."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from . import __version__, render
from .core.errors import SwarmplanError

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)
ADMISSIONS = ("retry", "queue", "notify", "reserve")


def handle_errors(command: Command) -> Command:
    """Map the error tree to messages and exit codes, in one place."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        warnings.showwarning = lambda message, *_args, **_kw: render.note(f"warning: {message}")
        try:
            return command(*args, **kwargs)
        except SwarmplanError as error:
            for line in str(error).splitlines():
                render.note(f"error: {line}")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            render.note("interrupted")
            sys.exit(130)

    return guarded  # type: ignore[return-value]


def scenario_argument(command: Command) -> Command:
    """The SCENARIO argument that most commands share."""
    return click.argument("scenario", type=FILE)(command)


def common_options(command: Command) -> Command:
    """``--seed``, ``--json`` and ``--quiet``."""
    command = click.option("-q", "--quiet", is_flag=True, help="No progress bar.")(command)
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(
        command
    )
    return click.option(
        "--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed."
    )(command)


def workload_options(command: Command) -> Command:
    """How many requests to simulate, at which load, under which waiting rule."""
    command = click.option(
        "--admission",
        type=click.Choice(ADMISSIONS),
        default="retry",
        show_default=True,
        help="What a request does when its servers are full; the same rule for every method.",
    )(command)
    command = click.option(
        "--load",
        type=click.FloatRange(0, min_open=True),
        default=1.0,
        show_default=True,
        help="Multiply the arrival rate.",
    )(command)
    return click.option(
        "--requests", type=click.IntRange(1), help="Requests to simulate [scenario's own number]."
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="swarmplan")
def main() -> None:
    """Plan, simulate and compare PETALS swarms.

    Which server should host which transformer blocks, which chain of servers should a request
    take, and what will happen then?

    Exit codes: 0 fine, 2 bad input, 3 infeasible, 4 no solution within the limits, 5 swarm
    unreachable, 6 optional part missing, 130 interrupted, 1 a bug.
    """
