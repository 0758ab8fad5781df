"""What the commands share: error mapping, common options, loading a scenario."""

from __future__ import annotations

import functools
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from .. import interrupt, render
from ..core.errors import SwarmplanError
from ..core.names import Admission, Aim, LengthMode, Listed, Metric, Speculating, names
from .outputs import unwritten

if TYPE_CHECKING:
    from ..scenarios.scenario import Scenario

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)
ADMISSION = click.Choice(names(Admission))


class FiniteRange(click.FloatRange):
    """A range of numbers, of which nan and inf are none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number, or a usage error."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return found


def handle_errors(command: Command, *, keeps: bool = False) -> Command:
    """Map the error tree and Ctrl-C to messages and exit codes, in one place.

    Parameters
    ----------
    keeps : after Ctrl-C the command tells what was found until then, marked as such.
    """

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        warnings.showwarning = lambda message, *_args, **_kw: render.note(f"warning: {message}")
        try:
            with interrupt.heard(keeps=keeps):
                found = command(*args, **kwargs)
        except SystemExit as stop:
            if stop.code in (0, None) and unwritten():
                sys.exit(2)
            raise
        except SwarmplanError as error:
            for line in str(error).splitlines():
                render.note(f"error: {line}")
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, interrupt.StoppedError):
            render.note("interrupted")
            sys.exit(interrupt.CODE)
        except BrokenPipeError:
            raise
        except OSError as error:
            render.note(f"error: {error}")
            sys.exit(2)
        if unwritten():
            sys.exit(2)
        return found

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


#: How many requests to simulate.
requests_option = click.option(
    "--requests", type=click.IntRange(1), help="Requests to simulate [scenario's own number]."
)


def workload_options(command: Command) -> Command:
    """How many requests to simulate, at which load, under which waiting rule."""
    command = click.option(
        "--admission",
        type=ADMISSION,
        default="retry",
        show_default=True,
        help="What a request does when its servers are full; the same rule for every method.",
    )(command)
    command = click.option(
        "--load",
        "factor",
        type=FiniteRange(0, min_open=True),
        default=1.0,
        show_default=True,
        help="Multiply the arrival rate; whoever plans here expects it.",
    )(command)
    return requests_option(command)


def ways_to_draft(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[Speculating, ...]:
    """``none,petals,auto``, each of them at most once."""
    known = {str(way): way for way in get_args(Speculating)}
    given = [] if value is None else value.split(",")
    if any(way not in known for way in given) or len(set(given)) < len(given):
        raise click.BadParameter(f"{value!r} is not a list of {', '.join(known)}", ctx, param)
    return tuple(known[way] for way in given)


def study_options(method: str, seeds: int) -> Callable[[Command], Command]:
    """How outcomes of a study are made, with a method and seeds unless told."""

    def decorate(command: Command) -> Command:
        for option in (
            click.option("--admission", type=ADMISSION, default="retry", show_default=True),
            requests_option,
            click.option("--seeds", type=click.IntRange(1), default=seeds, show_default=True),
            router_option,
            method_option("Placement method.", method),
        ):
            command = option(command)
        return command

    return decorate


def method_option(says: str, default: str = "auto") -> Callable[[Command], Command]:
    """``--method``, and what it is for."""
    return click.option(
        "--method",
        shell_complete=completes("methods"),
        default=default,
        show_default=True,
        help=says,
    )


def router_option(command: Command) -> Command:
    """``--router``."""
    return click.option(
        "--router",
        shell_complete=completes("routers"),
        help="Router in place of the method's own.",
    )(command)


def length_options(command: Command) -> Command:
    """What policies know of output lengths."""
    command = click.option(
        "--quantile",
        type=FiniteRange(0, 1, min_open=True, max_open=True),
        help="Quantile of the output length that is reserved [scenario's, 0.95].",
    )(command)
    return click.option(
        "--lengths",
        type=click.Choice(names(LengthMode)),
        help="What policies know of output lengths [scenario's, oracle].",
    )(command)


def completes(kind: Listed) -> Callable[..., list[str]]:
    """What a shell offers for a name of a kind (``swarmplan list``)."""

    def offered(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
        from ..views.inventory import inventory

        alike = inventory(kind).names
        return [n for n in alike if begun.casefold() in n.casefold()]

    return offered


def search_options(command: Command) -> Command:
    """How long a method may search, and for what."""
    for option in (
        click.option(
            "--metric",
            type=click.Choice(names(Metric)),
            default="mean",
            show_default=True,
            help="Which response time counts.",
        ),
        click.option(
            "--objective",
            "aim",
            type=click.Choice(names(Aim)),
            help="What is asked for: response time under the workload, time per token of R "
            "concurrent sessions, or the highest rate that is sustained; the certificate is about "
            "that one [auto: response, other methods: latency].",
        ),
        click.option(
            "--solver",
            default="highs",
            show_default=True,
            help="highs, cbc or any solver that PuLP lists (method milp).",
        ),
        click.option(
            "--gap",
            type=FiniteRange(0, 1),
            default=5e-6,
            show_default=True,
            help="Stop when the proven gap is this small.",
        ),
        click.option(
            "--time-limit",
            type=FiniteRange(0, min_open=True),
            default=30.0,
            show_default=True,
            help="Seconds to search.",
        ),
    ):
        command = option(command)
    return command


def load(path: Path) -> Scenario:
    """The scenario, with its warnings, and what to doubt of its block times, on stderr."""
    from ..perfmodel.validity import doubts
    from ..scenarios.scenario import load_scenario

    scenario = load_scenario(path)
    for warning in scenario.warnings:
        render.note(f"warning: {warning}")
    for line in doubts(scenario.problem):
        render.note(f"note: {line}")
    return scenario
