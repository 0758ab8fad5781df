"""``swarmplan replan``: whether and how to move from one plan to a better one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import render
from .outputs import check_default, writes, written
from .shared import (
    FILE,
    FiniteRange,
    common_options,
    handle_errors,
    load,
    method_option,
    scenario_argument,
)

if TYPE_CHECKING:
    from ..perfmodel.reload import Kept
    from ..placement.moves.replan import Replay

OPTIONS = (
    click.option("--budget", type=click.IntRange(0), help="Most servers that may move [all]."),
    click.option(
        "--horizon",
        "horizon_h",
        type=FiniteRange(0, min_open=True),
        default=24.0,
        show_default=True,
        help="Hours over which a better plan must repay the migration.",
    ),
    click.option(
        "--margin",
        type=FiniteRange(0),
        default=0.0,
        show_default=True,
        help="Move only when the gain exceeds the cost by this share: hysteresis.",
    ),
    click.option(
        "--surge",
        type=FiniteRange(1),
        default=1.5,
        show_default=True,
        help="The load may come as this multiple of the scenario's, one time in ten: plans with "
        "reserve are worth more. 1 = the load is sure.",
    ),
    click.option(
        "--parallel", type=click.IntRange(1), help="Most servers that load at a time [any]."
    ),
    click.option(
        "--reload",
        type=click.Choice(["span", "new blocks"]),
        default="span",
        show_default=True,
        help="What a moving server loads: its whole span, as PETALS does, or new blocks only.",
    ),
    click.option(
        "--restart",
        "restart_s",
        type=FiniteRange(0),
        default=1.7,
        show_default=True,
        help="Seconds out of service beside reading weights.",
    ),
    click.option(
        "--replay",
        type=click.Choice(["restart", "prefill"]),
        default="restart",
        show_default=True,
        help="What a generation does whose server moves: start again, as with PETALS, or replay.",
    ),
    click.option(
        "--allow-dark",
        is_flag=True,
        help="Consider plans that no order of moves reaches with every block served.",
    ),
    method_option("Method whose plans are aimed at."),
    click.option(
        "--time-limit",
        type=FiniteRange(0, min_open=True),
        default=30.0,
        show_default=True,
        help="Seconds to search, pricing included; another method's own search comes on top.",
    ),
    click.option("-o", "--output", type=FILE, help="Write the plan file to have in force."),
    click.option("--migration", type=FILE, help="Write the migration file [beside the plan file]."),
)


def replan_options(command: Any) -> Any:
    """All options above."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("plan_file", metavar="PLAN", type=FILE)
@scenario_argument
@replan_options
@common_options
@handle_errors
@writes(output="plan", migration="migration")
def command(
    plan_file: Path,
    scenario: Path,
    budget: int | None,
    horizon_h: float,
    margin: float,
    surge: float,
    parallel: int | None,
    reload: Kept,
    restart_s: float,
    replay: Replay,
    allow_dark: bool,
    method: str,
    time_limit: float,
    output: Path | None,
    migration: Path | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the best plan within a move budget and say whether going there pays.

    PLAN is in force; SCENARIO is the swarm as it is now. The gain until the horizon is weighed
    against servers missing while they load and generations cut off; the steps keep every block
    served wherever an order allows it. Nothing is moved when nothing pays: the plan stays.
    """
    from .. import api
    from ..methods.draft import Settings
    from ..methods.replanning import kept, migration_document, replanned
    from ..perfmodel.reload import Reload
    from ..placement.moves.replan import Terms
    from ..scenarios.migrationfile import read_current, write_migration
    from ..scenarios.planfile import plan_document, write_plan
    from ..views.migration import print_migration

    if output is not None and migration is None:
        migration = output.with_name(f"{output.stem}.migration.json")
        check_default(migration, "migration", [plan_file, scenario])
    loaded = load(scenario)
    current, router, gone, new = read_current(plan_file, loaded)
    terms = Terms(
        horizon_s=horizon_h * 3600.0,
        budget=budget,
        margin=margin,
        surge=surge,
        reload=Reload(what=reload, restart_s=restart_s),
        replay=replay,
        parallel=parallel,
        allow_dark=allow_dark,
    )
    settings = Settings(seed=seed, time_limit_s=time_limit)
    decision = replanned(
        loaded.problem,
        current,
        method,
        settings=settings,
        terms=terms,
        router=router,
    )
    document = migration_document(decision, loaded, terms, gone=gone, new=new)
    made = api.plan(loaded.problem, kept(decision.chosen.placement, router), settings=settings)
    if output is not None:
        written(output, lambda path: write_plan(path, made, loaded))
    if migration is not None:
        written(migration, lambda path: write_migration(path, document))
    if as_json:
        render.print_json({"migration": document, "plan": plan_document(made, loaded)})
    else:
        print_migration(document)
