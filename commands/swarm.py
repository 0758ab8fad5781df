"""``swarmplan swarm``: read, serve and route a live PETALS swarm by a plan."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from .. import render
from .outputs import check_default, writes, written
from .shared import FILE, FiniteRange, handle_errors, load

#: Name -> module of this package; loaded when called.
_SUBCOMMANDS = {
    "doctor": "swarm_doctor",
    "drive": "swarm_drive",
    "status": "swarm_status",
    "watch": "swarm_watch",
}


class _SwarmGroup(click.Group):
    """A group whose larger subcommands live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *_SUBCOMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _SUBCOMMANDS:
            command = import_module(f".{_SUBCOMMANDS[cmd_name]}", __package__).command
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


@command.command("inspect")
@click.option("--model", required=True, help="Name in the catalogue, repository or folder.")
@click.option("--initial-peers", multiple=True, metavar="MADDR", help="Peers of the swarm's DHT.")
@click.option("--health", metavar="FILE_OR_URL", help="The health monitor's /api/v1/state.")
@click.option("--prefix", help="DHT prefix of the model [PETALS' own for this name].")
@click.option("--client", default="here", show_default=True, help="Name of this place.")
@click.option("--lat", type=FiniteRange(-90, 90), help="Where the client is, degrees.")
@click.option("--lon", type=FiniteRange(-180, 180), help="Where the client is, degrees.")
@click.option(
    "--relay", type=click.Choice(["client", "server"]), default="client", show_default=True
)
@click.option("--step-overhead-ms", type=FiniteRange(0, 1e4), default=10.0, show_default=True)
@click.option("--memory-gb", multiple=True, metavar="SERVER=GB", help="Usable memory of a server.")
@click.option("--rate", type=FiniteRange(0, 1e4), default=0.1, show_default=True)
@click.option("--prompt-tokens", type=click.IntRange(1, 10**6), default=128, show_default=True)
@click.option("--output-tokens", type=click.IntRange(1, 10**6), default=128, show_default=True)
@click.option("--sessions", type=click.IntRange(1, 10**5), help="Concurrent sessions to plan for.")
@click.option("-o", "--output", type=FILE, help="Write the scenario (TOML, or JSON by suffix).")
@partial(handle_errors, keeps=True)
@writes(output="scenario")
def inspect(**options: Any) -> None:
    """Turn what a running swarm announces into a scenario file."""
    from ..swarm.inspecting import Wanted, inspect_swarm

    output: Path | None = options.pop("output")
    document, notes = inspect_swarm(Wanted(**options))
    for line in notes.warnings:
        render.note(f"warning: {line}")
    for line in notes.estimated:
        render.note(f"estimated: {line}")
    if output is None:
        render.print_json(document)
        return
    from ..scenarios.generate import write_document

    render.note(f"{len(document['servers'])} servers online")
    written(output, lambda path: write_document(path, document))


@command.command("keygen")
@click.argument("path", metavar="KEYFILE", type=FILE)
@partial(handle_errors, keeps=True)
def keygen(path: Path) -> None:
    """Make the operator's key: KEYFILE (secret), KEYFILE.pub (for servers and clients)."""
    from ..swarm.needs import prepare

    prepare("table")
    from ..swarm.signing import new_key, public_path

    new_key(path)
    render.note(f"wrote {path} (keep it secret) and {public_path(path)}")


@command.command("publish")
@click.argument("plan", type=FILE)
@click.argument("scenario", type=FILE)
@click.option("--key", required=True, type=FILE, help="The operator's secret key.")
@click.option("--prefix", required=True, help="DHT prefix of the model.")
@click.option("--initial-peers", multiple=True, required=True, metavar="MADDR")
@click.option("--valid-hours", type=FiniteRange(0.001, 720), default=24.0, show_default=True)
@partial(handle_errors, keeps=True)
def publish_command(
    plan: Path,
    scenario: Path,
    key: Path,
    prefix: str,
    initial_peers: tuple[str, ...],
    valid_hours: float,
) -> None:
    """Sign a plan and store it in the swarm's own table."""
    from ..scenarios.planfile import read_plan
    from ..swarm.needs import prepare

    loaded = load(scenario)
    made = read_plan(plan, loaded)
    prepare("table")
    from ..swarm.publishing import publish

    done = publish(
        made,
        loaded,
        key=key,
        prefix=prefix,
        initial_peers=initial_peers,
        valid_s=valid_hours * 3600,
    )
    if done.absent:
        render.note(
            f"warning: not online: {', '.join(done.absent[:10])} ({len(done.absent)} in all)"
        )
    moves = ", ".join(step.peer for step in done.moves) or "none"
    render.note(f"published version {done.version}, {done.size_bytes} bytes; moves: {moves}")


@command.command("serve", context_settings={"ignore_unknown_options": True})
@click.option("--operator-key", metavar="KEY", help="Public key (line or file) whose plans count.")
@click.option("--state", type=FILE, help="File that remembers the highest plan version.")
@click.option("--follow", type=FiniteRange(0.2, 3600), default=5.0, show_default=True)
@click.option("--drain", type=FiniteRange(0, 86400), default=30.0, show_default=True)
@click.option("--push", is_flag=True, help="Mend server-to-server push (see docs/swarm.md).")
@click.option("--batch-steps", is_flag=True, help="Run waiting steps of sessions as one pass.")
@click.option("--profile", type=FILE, help="Announce the rates of this device profile (JSON).")
@click.argument("petals_flags", nargs=-1, type=click.UNPROCESSED)
@partial(handle_errors, keeps=True)
def serve_command(
    operator_key: str | None,
    state: Path | None,
    follow: float,
    drain: float,
    push: bool,
    batch_steps: bool,
    profile: Path | None,
    petals_flags: tuple[str, ...],
) -> None:
    """Run PETALS' server under the operator's plan: serve --operator-key KEY -- PETALS FLAGS."""
    from ..swarm.needs import prepare

    wanted = {"server-push": push, "batch-steps": batch_steps}
    prepare("server", also=[name for name, asked in wanted.items() if asked])
    from ..swarm.serve import ServeOptions, serve
    from ..swarm.signing import read_public_key

    key = None if operator_key is None else read_public_key(operator_key)
    options = ServeOptions(
        public_key=key, state=state, period_s=follow, drain_s=drain, profile=profile
    )
    serve(options, petals_flags)


@command.command("measure")
@click.option("--model", required=True, help="Name in the catalogue, folder or repository.")
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(["bf16", "int8", "nf4"]),
    multiple=True,
    default=("bf16",),
    show_default=True,
    help="May be given several times.",
)
@click.option("--longest", type=click.IntRange(128, 10**6), default=8192, show_default=True)
@click.option("--limit", type=FiniteRange(1, 3600), default=100.0, show_default=True)
@click.option("--device", help="torch's name [the GPU where there is one].")
@click.option("--name", help="Name of the profile [the output's name].")
@click.option("--table", type=FILE, help="Write the rows, for swarmplan calibrate (CSV).")
@click.option("-o", "--output", type=FILE, required=True, help="Write the device profile (JSON).")
@handle_errors
def measure_command(
    model: str,
    precisions: tuple[str, ...],
    longest: int,
    limit: float,
    device: str | None,
    name: str | None,
    table: Path | None,
    output: Path,
) -> None:
    """Measure a model's blocks on this machine as PETALS runs them, and write a device profile.

    Random weights of the model's configuration: nothing is downloaded. --limit is in seconds, for
    each precision.
    """
    from ..swarm.needs import prepare

    prepare("server")
    from ..perfmodel.calibrate import calibrate_rows
    from ..perfmodel.measuretable import table_of
    from ..perfmodel.profilefile import write_profiles
    from ..scenarios.files import write_text
    from ..swarm.measure import MeasureOptions, measure
    from ..views.calibration import print_calibration

    options = MeasureOptions(
        model=model, precisions=precisions, longest=longest, limit_s=limit, device=device
    )
    rows = measure(options, render.note)
    if table is not None:
        write_text(table, table_of(rows))
        render.note(f"wrote {table}: {len(rows)} rows")
    label = name or output.stem
    found = calibrate_rows(rows, name=label, source="swarmplan swarm measure")
    write_profiles(output, label, found)
    for one in found:
        print_calibration(one)
    render.note(f"wrote {output}: in a scenario, profile = {output.name!r}")


@command.command("launch-files")
@click.argument("plan", type=FILE)
@click.argument("scenario", type=FILE)
@click.option("--model", required=True, help="Checkpoint that every server is to load.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--prefix", help="DHT prefix [PETALS' own for this model].")
@click.option("--initial-peers", multiple=True, metavar="MADDR", help="None = the public swarm.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of every server.")
@partial(handle_errors, keeps=True)
@writes()
def launch_files_command(
    plan: Path,
    scenario: Path,
    model: str,
    output: Path,
    prefix: str | None,
    initial_peers: tuple[str, ...],
    port: int | None,
) -> None:
    """Write command, systemd unit and compose file of each server for plain PETALS."""
    from ..scenarios.planfile import read_plan
    from ..swarm.launch import LaunchOptions, launch_files, launch_paths, write_launch_files

    loaded = load(scenario)
    options = LaunchOptions(model=model, prefix=prefix, initial_peers=initial_peers, port=port)
    files = launch_files(read_plan(plan, loaded), loaded, options)
    for path in launch_paths(files, output):
        check_default(path, "launch", [plan, scenario])
    made = write_launch_files(files, output)
    render.print_table(
        "launch files", ("server", "command"), [(f.server, " ".join(f.command)) for f in files]
    )
    render.note(f"wrote {len(made)} files to {output}")


@command.command("demo")
@click.option("--orders", type=click.IntRange(1, 3), default=1, show_default=True)
@click.option("--mixed", is_flag=True, help="Instead: two servers, precisions chosen by a plan.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Keep logs here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@partial(handle_errors, keeps=True)
def demo(orders: int, mixed: bool, folder: Path | None, as_json: bool) -> None:
    """PETALS' way and swarmplan's way on real servers on this machine; 4 minutes, 3 GB.

    With --mixed two servers of one model at two precisions, chosen by a plan; 2 minutes, 2 GB.
    """
    from dataclasses import asdict

    from ..swarm.needs import prepare

    prepare("client")
    from ..swarm.demo import JOIN_ORDERS, run_demo, timed
    from ..swarm.processes import passing_folder

    if mixed:
        _demo_mixed(folder, as_json)
        return
    with passing_folder("swarmplan-demo-") as own, timed(render.note) as say:
        base = folder or own
        found = [
            run_demo(base / str(i), say, order=order)
            for i, order in enumerate(JOIN_ORDERS[:orders])
        ]
    if as_json:
        render.print_json({"orders": [asdict(one) for one in found]})
        return
    speeds = ("PETALS ms/token", "swarmplan ms/token", "drafted ms/token", "predicted", "ratio")
    others = ("PETALS first ms", "swarmplan first ms", "failed", "dark s", "recovery s")
    rows = [
        (
            " ".join(one.order),
            *(render.milliseconds(s.tpot_s) for s in (one.petals, one.planned, one.drafted)),
            render.milliseconds(one.predicted_s),
            *(render.number(one.petals.tpot_s / s.tpot_s, 3) for s in (one.planned, one.drafted)),
            *(render.milliseconds(t) for t in (one.petals.ttft_s, one.planned.ttft_s)),
            one.failed,
            render.number(one.dark_s),
            render.number(one.recovery_s),
        )
        for one in found
    ]
    title = "the same live servers, prompts and delays"
    render.print_table(title, ("join order", *speeds, "ratio drafted", *others), rows)


def _demo_mixed(folder: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    from ..swarm.demo import timed
    from ..swarm.mixed import run_mixed
    from ..swarm.processes import passing_folder

    with passing_folder("swarmplan-demo-") as own, timed(render.note) as say:
        found = run_mixed(folder or own, say)
    if as_json:
        render.print_json(asdict(found))
