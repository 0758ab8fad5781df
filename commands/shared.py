"""What the commands share: error mapping, common options, loading a scenario."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import render
from ..core.errors import SwarmplanError

if TYPE_CHECKING:
    from ..scenarios.load import Scenario

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
        "load_factor",
        type=click.FloatRange(0, min_open=True),
        default=1.0,
        show_default=True,
        help="Multiply the arrival rate.",
    )(command)
    return click.option(
        "--requests", type=click.IntRange(1), help="Requests to simulate [scenario's own number]."
    )(command)


def load(path: Path) -> Scenario:
    """The scenario, with its warnings on stderr."""
    from ..scenarios.load import load_scenario

    scenario = load_scenario(path)
    for warning in scenario.warnings:
        render.note(f"warning: {warning}")
    return scenario
