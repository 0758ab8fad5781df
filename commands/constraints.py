"""Options by which an operator constrains placements, shared by the commands that plan."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from .shared import FILE, FiniteRange

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ConstraintOptions:
    """What the options ask for.

    Attributes
    ----------
    fields : fields of the scenario file's ``resilience`` section.
    current, keep : plan in force, and servers that stay as it has them.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    current: Path | None = None
    keep: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.fields or self.keep)


class SpanOf(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``SERVER=START:END``."""

    name = "SERVER=START:END"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, int]]:
        """The server's id and the blocks ``[start, end)``."""
        if isinstance(value, tuple):
            return value
        server, _, span = str(value).rpartition("=")
        start, _, end = span.partition(":")
        if not (server and start.isdecimal() and end.isdecimal()):
            self.fail(f"{value!r} is not SERVER=START:END, such as gpu-3=0:12", param, ctx)
        return server, (int(start), int(end))


OPTIONS = (
    click.option(
        "--redundancy",
        type=click.IntRange(1),
        help="Every block on at least this many servers.",
    ),
    click.option(
        "--redundancy-of",
        type=click.Choice(["servers", "regions"]),
        help="Count the regions of these servers instead of the servers.",
    ),
    click.option(
        "--survive",
        multiple=True,
        metavar="SERVER|REGION",
        help="All blocks stay hosted when this is lost (repeat).",
    ),
    click.option(
        "--headroom",
        type=FiniteRange(0, 100, max_open=True),
        metavar="PERCENT",
        help="Share of every server's memory to leave free.",
    ),
    click.option("--pin", type=SpanOf(), multiple=True, help="Blocks that a server must host."),
    click.option(
        "--forbid", type=SpanOf(), multiple=True, help="Blocks that a server must not host."
    ),
    click.option("--keep", multiple=True, metavar="SERVER", help="A server that may not move."),
    click.option(
        "--current",
        type=FILE,
        help="The plan in force, for --keep; auto and exact return nothing that does worse.",
    ),
)


def constraint_options(command: Command) -> Command:
    """The options above, handed to the command as one ``asked``."""

    @functools.wraps(command)
    def gathered(
        *args: Any,
        redundancy: int | None,
        redundancy_of: str | None,
        survive: tuple[str, ...],
        headroom: float | None,
        pin: tuple[tuple[str, tuple[int, int]], ...],
        forbid: tuple[tuple[str, tuple[int, int]], ...],
        keep: tuple[str, ...],
        current: Path | None,
        **kwargs: Any,
    ) -> Any:
        banned: dict[str, list[tuple[int, int]]] = {}
        for server, span in forbid:
            banned.setdefault(server, []).append(span)
        given = {
            "redundancy": redundancy,
            "redundancy_of": redundancy_of,
            "survive": list(survive),
            "headroom_percent": headroom,
            "pinned": dict(pin),
            "forbidden": banned,
        }
        fields = {name: value for name, value in given.items() if value not in (None, [], {})}
        return command(*args, asked=ConstraintOptions(fields, current, keep), **kwargs)

    decorated: Any = gathered
    for option in reversed(OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]
