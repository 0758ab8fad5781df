"""Options that commands about a live swarm share: how it is read, and how moves are weighed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .shared import FiniteRange

if TYPE_CHECKING:
    from ..placement.moves.replan import Terms

Command = TypeVar("Command", bound=Callable[..., Any])
option = click.option

_MODEL = "Name in the catalogue, repository or folder."
_SOURCE = (
    option("--initial-peers", multiple=True, metavar="MADDR", help="Peers of the swarm's DHT."),
    option("--health", metavar="FILE_OR_URL", help="The health monitor's /api/v1/state."),
    option("--prefix", help="DHT prefix of the model [PETALS' own for this name]."),
)
_UNSEEN = (
    option("--memory-gb", multiple=True, metavar="SERVER=GB", help="Usable memory of a server."),
    option("--lat", type=FiniteRange(-90, 90), help="Where the client is, degrees."),
    option("--lon", type=FiniteRange(-180, 180), help="Where the client is, degrees."),
    option("--rate", type=FiniteRange(0, 1e4), default=0.1, show_default=True),
)
_KEY = option(
    "--operator-key", metavar="KEY", help="Public key (line or file) whose plan is looked for."
)
_PROBE = option(
    "--probe", is_flag=True, help="Measure a step at every server by a short session with it."
)
_WEIGHING = (
    option("--confirm", type=click.IntRange(1, 100), default=3, show_default=True),
    option("--horizon-hours", type=FiniteRange(0.01, 720), default=24.0, show_default=True),
    option("--margin", type=FiniteRange(0, 10), default=0.2, show_default=True),
)


def source_options(*, needs_model: bool) -> Callable[[Command], Command]:
    """Which swarm, and whose plan."""
    model = option("--model", required=needs_model, help=_MODEL)
    return lambda command: _with(command, (model, *_SOURCE, _KEY))


def reading_options(command: Command) -> Command:
    """Which swarm, whose plan, and what to take for what it does not say."""
    return source_options(needs_model=True)(_with(command, (*_UNSEEN, _PROBE)))


def weighing_options(command: Command) -> Command:
    """How a watcher decides."""
    return _with(command, _WEIGHING)


def _with(command: Command, options: tuple[Callable[[Any], Any], ...]) -> Command:
    for one in reversed(options):
        command = one(command)
    return command


def terms_of(horizon_hours: float, margin: float) -> Terms:
    """The terms on which a watcher weighs moves."""
    from ..placement.moves.replan import Terms

    return Terms(horizon_s=horizon_hours * 3600, margin=margin, replay="prefill")
