"""Migration files: the steps from the plan in force to the next one, and why; sorted JSON.

Written beside the new plan; ``migration.schema.json`` is generated from here and committed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ..core.plan import Placement
from ..core.problem import Hosting, Problem
from . import schema
from .defects import validate
from .files import parse_file, write_text
from .planbuild import loads_of
from .scenario import Scenario

MIGRATION_FORMAT = "swarmplan/migration/1"
Share = Annotated[float, Meta(ge=0)]


class MigrationStep(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One server leaves ``[old_start, old_end)`` at ``begin_s`` and serves the new blocks from
    ``end_s`` on; seconds after the migration begins. Equal numbers: no blocks. ``first_token_s``:
    when the first token of a request that waits for it comes, null where none passes through it."""

    server: schema.Name
    old_start: schema.Block
    old_end: schema.Block
    new_start: schema.Block
    new_end: schema.Block
    begin_s: schema.Figure
    end_s: schema.Figure
    first_token_s: schema.Figure | None = None


class DarkBlocks(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Blocks that no server serves from ``begin_s`` to ``end_s``."""

    blocks: list[schema.Block]
    begin_s: schema.Figure
    end_s: schema.Figure


class MigrationOption(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The best plan of so many moves; request-seconds until the horizon, None = without end."""

    moves: Annotated[int, Meta(ge=0)]
    response_s: float | None
    sustained_per_s: schema.Figure
    gain_request_s: float | None
    cost_request_s: float | None
    net_request_s: float | None
    lost_sessions: schema.Figure
    duration_s: schema.Figure
    dark_s: schema.Figure
    verdict: schema.Text


class MigrationFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole migration file."""

    format: Literal["swarmplan/migration/1"]
    scenario: schema.Name
    scenario_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    tool: schema.Text
    move: bool
    forced: bool
    horizon_s: schema.Figure
    break_even_s: float | None
    reload: Literal["span", "new blocks"]
    restart_s: schema.Figure
    replay: Literal["restart", "prefill"]
    steps: list[MigrationStep]
    dark: list[DarkBlocks]
    dark_proven: bool
    plans_proven: bool
    options: list[MigrationOption]
    reasons: list[schema.Text]
    gone_servers: list[schema.Name] = []
    new_servers: list[schema.Name] = []


def migration_json_schema() -> dict[str, Any]:
    """The JSON Schema of migration files."""
    return schema.schema_of(MigrationFile, "swarmplan migration")


def write_migration(path: Path, document: Mapping[str, Any]) -> None:
    """Write a migration file, all or nothing."""
    write_text(path, json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_migration(path: Path) -> MigrationFile:
    """A migration file.

    Raises
    ------
    ScenarioError
        If it is not one, listing every defect.
    """
    return validate(parse_file(path), MigrationFile, migration_json_schema, source=str(path))


def read_current(
    path: Path, scenario: Scenario
) -> tuple[Placement, str, tuple[str, ...], tuple[str, ...]]:
    """The plan in force, for a swarm that may have changed since.

    Returns
    -------
    (placement, router, servers of the plan that are gone, servers that are new). Servers that the
    plan does not name are idle.

    Raises
    ------
    ScenarioError
        If it is not a plan file.
    """
    given = validate(parse_file(path), schema.PlanFile, schema.plan_json_schema, source=str(path))
    problem = scenario.problem
    rows = {s.id: j for j, s in enumerate(problem.servers)}
    hosting = list(problem.hosting)
    spans = [(0, 0, 0)] * len(rows)
    for placed in given.placement:
        if placed.server in rows:
            span = (placed.start_block, placed.end_block, placed.cache_bytes)
            j = rows[placed.server]
            spans[j] = span if span[1] > span[0] else (0, 0, 0)
            was = Hosting(placed.precision or "", placed.wire or "")
            hosting[j] = problem.servers[j].nearest(was)
    named = {placed.server for placed in given.placement}
    placement = Placement(
        start=[s for s, _, _ in spans],  # type: ignore[arg-type]
        end=[e for _, e, _ in spans],  # type: ignore[arg-type]
        cache_bytes=[c for _, _, c in spans],  # type: ignore[arg-type]
        precision=tuple(h.precision for h in hosting) if problem.chooses_precision else (),
        wire=tuple(h.wire for h in hosting) if problem.chooses_wire else (),
        adapters=_loads(given, rows, problem),
    )
    gone = tuple(sorted(named - set(rows)))
    new = tuple(name for name in rows if name not in named)
    return placement, given.router, gone, new


def _loads(
    given: schema.PlanFile, rows: dict[str, int], problem: Problem
) -> tuple[tuple[str, ...], ...]:
    """The adapters in force: those that are no longer there are gone."""
    known = {a.id for a in problem.adapters}
    kept = loads_of(given, rows, problem)
    return tuple(tuple(name for name in own if name in known) for own in kept)
