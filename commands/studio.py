"""``swarmplan studio``: a page on which servers are dragged and the swarm answers at once."""

from __future__ import annotations

import webbrowser
from functools import partial
from pathlib import Path

import click

from .. import render
from .shared import FILE, FiniteRange, handle_errors, load, scenario_argument


@click.command()
@scenario_argument
@click.option("--plan", "plan_path", type=FILE, help="Begin with this plan file.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of 127.0.0.1 [any that is free]."
)
@click.option(
    "--time-limit",
    type=FiniteRange(0),
    default=30.0,
    show_default=True,
    help="Seconds of the longest search for a better plan; 0 = none.",
)
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
@partial(handle_errors, keeps=True)
def command(
    scenario: Path, plan_path: Path | None, port: int, time_limit: float, browser: bool
) -> None:
    """Change a swarm by hand on a map and see what happens, until Ctrl-C.

    The page is served to this machine only, under an address with a token; nothing is loaded from
    anywhere else, and no file is written but what the browser saves.
    """
    from ..scenarios.files import parse_file
    from ..scenarios.planfile import read_plan
    from ..studio.server import serve
    from ..studio.session import Session

    loaded = load(scenario)
    plan = None if plan_path is None else read_plan(plan_path, loaded)
    for remark in () if plan is None else plan.remarks:
        render.note(f"note: {remark}")

    def on_ready(address: str) -> None:
        render.print_lines([address])
        render.note("open this address; Ctrl-C ends")
        if browser:
            webbrowser.open(address)

    stages_s = sorted({min(s, time_limit) for s in (3.0, 10.0, 30.0, time_limit)} - {0.0})
    serve(Session(parse_file(scenario), loaded), plan, port=port, on_ready=on_ready,
          stages_s=stages_s)  # fmt: skip
