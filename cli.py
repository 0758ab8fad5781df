"""The ``swarmplan`` command: parse, call one function of ``api``, render."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from . import __version__, render
from .core.errors import SwarmplanError

if TYPE_CHECKING:
    from .scenarios.generate import Kind
    from .simulator.engine import Admission

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


def _load(path: Path) -> Any:
    """The scenario, with its warnings on stderr."""
    from .scenarios.load import load_scenario

    scenario = load_scenario(path)
    for warning in scenario.warnings:
        render.note(f"warning: {warning}")
    return scenario


@main.command()
@scenario_argument
@click.option("--method", default="cg-bp", show_default=True, help="Placement method.")
@click.option("-o", "--output", type=FILE, help="Write the plan file.")
@click.option("--sessions", type=click.IntRange(1), help="Concurrent sessions R to plan for.")
@click.option(
    "--require-gap",
    type=click.FloatRange(0, 1),
    help="Exit with 4 when the proven gap is larger or unknown.",
)
@common_options
@handle_errors
def plan(
    scenario: Path,
    method: str,
    output: Path | None,
    sessions: int | None,
    require_gap: float | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Decide which server hosts which blocks and which chains requests take."""
    from . import api, views
    from .scenarios.planfile import plan_document, write_plan

    loaded = _load(scenario)
    problem = api.with_sessions(loaded.problem, sessions)
    made = api.plan(problem, method, seed=seed)
    if output is not None:
        write_plan(output, made, loaded)
        render.note(f"wrote {output}")
    if as_json:
        render.print_json(plan_document(made, loaded))
    else:
        views.print_plan(problem, made)
    gap = made.certificate.gap
    if require_gap is not None and (gap is None or gap > require_gap):
        render.note(f"error: the proven gap is {render.number(gap)}, wanted {require_gap}")
        sys.exit(4)


@main.command()
@scenario_argument
@click.option("--plan", "plan_path", type=FILE, help="Simulate this plan file.")
@click.option("--method", default="cg-bp", show_default=True, help="Method when no plan is given.")
@click.option("--router", help="Use another method's router.")
@click.option("--table", type=FILE, help="Write one row per request (.csv or .jsonl).")
@workload_options
@common_options
@handle_errors
def simulate(
    scenario: Path,
    plan_path: Path | None,
    method: str,
    router: str | None,
    table: Path | None,
    requests: int | None,
    load: float,
    admission: Admission,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Simulate the scenario's requests through one placement and router."""
    from . import api, views

    loaded = _load(scenario)
    result = api.simulate(
        loaded,
        method=method,
        router=router,
        plan_path=plan_path,
        num_requests=requests,
        load_factor=load,
        admission=admission,
        seed=seed,
    )
    if table is not None:
        result.write(table)
        render.note(f"wrote {table}")
    if as_json:
        render.print_json(views.result_document(loaded.problem, result))
    else:
        views.print_result(loaded.problem, result)


@main.command()
@scenario_argument
@click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    help="Method to compare (repeat); the first is the baseline.",
)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--join-orders",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Random join orders of PETALS' servers per seed.",
)
@workload_options
@common_options
@handle_errors
def compare(
    scenario: Path,
    methods: tuple[str, ...],
    seeds: int,
    join_orders: int,
    requests: int | None,
    load: float,
    admission: Admission,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run methods side by side on the same requests with equal constants."""
    from . import api, views

    loaded = _load(scenario)
    with render.progress("simulating", quiet=quiet) as report:
        comparison = api.compare(
            loaded,
            methods=methods,
            seeds=range(seed, seed + seeds),
            join_orders=join_orders,
            num_requests=requests,
            load_factor=load,
            admission=admission,
            on_progress=report,
        )
    if as_json:
        render.print_json(views.comparison_document(comparison))
    else:
        views.print_comparison(comparison)


@main.command()
@click.argument("plan_file", metavar="PLAN", type=FILE)
@scenario_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@handle_errors
def verify(plan_file: Path, scenario: Path, as_json: bool) -> None:
    """Re-check a plan, also one edited by hand, without a solver; list every violation."""
    from . import views
    from .perfmodel.predict import verify as verify_plan
    from .scenarios.planfile import read_plan

    loaded = _load(scenario)
    checked = read_plan(plan_file, loaded)
    violations = verify_plan(loaded.problem, checked)
    if as_json:
        render.print_json(views.violations_document(violations))
    else:
        views.print_violations(plan_file, violations)
    if violations:
        sys.exit(2)


@main.command()
@scenario_argument
@click.option("--plan", "plan_path", type=FILE, help="Explain this plan file.")
@click.option("--method", default="cg-bp", show_default=True, help="Method when no plan is given.")
@click.option("--client", help="Client id [every client that has a route].")
@common_options
@handle_errors
def explain(
    scenario: Path,
    plan_path: Path | None,
    method: str,
    client: str | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show where the time of a route goes, hop by hop, and why not the alternatives."""
    from . import api, views

    loaded = _load(scenario)
    made = api.plan_or_read(loaded, plan_path, method, seed=seed)
    found = api.explain_clients(loaded.problem, made, client)
    if as_json:
        render.print_json(views.explanations_document(loaded.problem, found))
    else:
        views.print_explanations(loaded.problem, found)


@main.command()
@click.argument("measurements", type=FILE)
@click.option("--name", help="Name of the device profile [the file's name].")
@click.option("-o", "--output", type=FILE, help="Write the device profile (JSON).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@handle_errors
def calibrate(measurements: Path, name: str | None, output: Path | None, as_json: bool) -> None:
    """Fit a device profile to measured block times.

    MEASUREMENTS is a CSV of phase, prompt_tokens, context_tokens, batch and ms_per_block, or
    PETALS' own throughput_v5.json.
    """
    from . import views
    from .perfmodel.calibrate import calibrate_file, write_profile

    fitted = calibrate_file(measurements, name=name or measurements.stem)
    if output is not None:
        write_profile(output, fitted)
        render.note(f"wrote {output}")
    if as_json:
        render.print_json(views.calibration_document(fitted))
    else:
        views.print_calibration(fitted)


@main.group()
def scenario() -> None:
    """Validate, generate and show scenario files."""


@scenario.command("validate")
@click.argument("path", metavar="SCENARIO", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@handle_errors
def validate(path: Path, as_json: bool) -> None:
    """Check a scenario file and list every defect."""
    loaded = _load(path)
    if as_json:
        render.print_json({"valid": True, "sha256": loaded.sha256, "warnings": loaded.warnings})
    else:
        render.print_lines([f"{path}: valid", f"sha256 {loaded.sha256}"])


@scenario.command("show")
@click.argument("path", metavar="SCENARIO", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@handle_errors
def show(path: Path, as_json: bool) -> None:
    """Describe what a scenario contains."""
    from .scenarios.describe import describe

    sections = describe(_load(path))
    if as_json:
        render.print_json(
            {
                title: [dict(zip(columns, row, strict=True)) for row in rows]
                for title, columns, rows in sections
            }
        )
        return
    for title, columns, rows in sections:
        render.print_table(title, columns, rows)


@scenario.command("schema")
@click.option("--plan", "plan_schema", is_flag=True, help="The schema of plan files instead.")
@handle_errors
def schema(plan_schema: bool) -> None:
    """Print the JSON Schema of scenario files."""
    from .scenarios.schema import json_schema, plan_json_schema

    render.print_json(plan_json_schema() if plan_schema else json_schema())


@scenario.command("generate")
@click.argument("output", type=FILE)
@click.option(
    "--kind",
    type=click.Choice(["geographic", "reference", "topology"]),
    default="geographic",
    show_default=True,
)
@click.option("--servers", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--clients", type=click.IntRange(1, 1_000), default=3, show_default=True)
@click.option("--topology", default="Abvt", show_default=True, help="For --kind topology.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@handle_errors
def generate_command(
    output: Path, kind: Kind, servers: int, clients: int, topology: str, seed: int
) -> None:
    """Write a random but realistic scenario file."""
    from .scenarios.generate import generate, write_document

    document = generate(kind, servers=servers, clients=clients, topology=topology, seed=seed)
    write_document(output, document)
    render.note(f"wrote {output}")


if __name__ == "__main__":
    main()
