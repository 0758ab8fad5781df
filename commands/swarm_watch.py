"""``swarmplan swarm watch``: read a swarm again and again, and publish or propose."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import render
from .reading import reading_options, terms_of, weighing_options
from .shared import FILE, FiniteRange, handle_errors

if TYPE_CHECKING:
    from ..swarm.watch import Watch

#: Exit codes of a watch of so many rounds, by how the last one ended.
_ENDINGS = {"unreachable": 5, "failed": 4}
#: Of the page, where none is asked for.
PORT = 9190


@click.command()
@reading_options
@weighing_options
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--every", type=FiniteRange(1, 86400), default=300.0, show_default=True)
@click.option("--valid-hours", type=FiniteRange(0.01, 720), default=24.0, show_default=True)
@click.option("--publish/--dry-run", "do_publish", default=False, show_default=True)
@click.option("--key", type=FILE, help="The operator's secret key, for --publish.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve /metrics here.")
@click.option(
    "--page",
    type=click.IntRange(1, 65535),
    is_flag=False,
    flag_value=PORT,
    metavar="[PORT]",
    help=f"Serve a page that refreshes itself, on this machine alone [{PORT}].",
)
@click.option("--rounds", type=click.IntRange(1), help="Stop after so many reads [never].")
@partial(handle_errors, keeps=True)
def command(
    folder: Path,
    every: float,
    confirm: int,
    horizon_hours: float,
    margin: float,
    valid_hours: float,
    do_publish: bool,
    key: Path | None,
    metrics_port: int | None,
    page: int | None,
    rounds: int | None,
    **reading: Any,
) -> None:
    """Keep reading a swarm; publish (or only propose) a plan when moving repays its cost."""
    import itertools
    import time

    from ..swarm.inspecting import Wanted
    from ..swarm.metrics import Metrics, serve_metrics
    from ..swarm.verdict import Weighing
    from ..swarm.watch import Watch, WatchOptions
    from ..swarm.watching import reader, signer

    wanted = Wanted(**reading)
    weighing = Weighing(confirm=confirm, terms=terms_of(horizon_hours, margin))
    publish = signer(wanted, key, valid_hours * 3600) if do_publish else None
    metrics = Metrics()
    options = WatchOptions(folder=folder, weighing=weighing)
    watch = Watch(options, reader(wanted), publish, metrics)
    if metrics_port is not None:
        serve_metrics(metrics, metrics_port)
    show = _nothing if page is None else _page(page, wanted.model, confirm, every)
    for number in itertools.count(1):
        action = watch.turn()
        show(watch)
        render.note(f"read {number}: {action}" + (f" ({watch.reason})" if watch.reason else ""))
        if number == rounds:
            sys.exit(_ENDINGS.get(action, 0))
        time.sleep(every)


def _nothing(_watch: Watch) -> None:
    """Nobody asked for a page."""


def _page(port: int, model: str, confirm: int, every_s: float) -> Callable[[Watch], None]:
    """Serves the page from now on; what shows the state on it."""
    from ..reports.live import LivePage

    live = LivePage(model=model, confirm=confirm, every_s=every_s)
    render.note(f"page: {live.serve(port)}")
    return live.show
