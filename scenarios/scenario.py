"""Reading scenario files: parse, validate, check, build; all defects at once, never a traceback."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from ..core.errors import ScenarioError
from ..core.events import ServerEvent
from ..core.names import LengthMode
from ..core.problem import Problem
from . import schema
from .build import Built, build
from .defects import validate
from .files import parse_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A loaded scenario.

    Attributes
    ----------
    sha256 : of the validated content and of the files it refers to; layout does not matter.
    warnings : things that are legal but probably not meant.
    notes : what its sources lack, harmless here.
    events : servers that fail or join during a simulation.
    """

    path: Path
    document: schema.Scenario
    problem: Problem
    sha256: str
    warnings: tuple[str, ...]
    events: tuple[ServerEvent, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Scenario({self.document.name}: {self.problem!r})"


def load_scenario(path: Path) -> Scenario:
    """Read, validate and build a scenario file (TOML, or JSON by suffix).

    Raises
    ------
    ScenarioError
        Listing every defect with the path of its field.
    """
    return scenario_of(parse_file(path), path)


def scenario_of(raw: Any, path: Path) -> Scenario:
    """The scenario of plain data, as a file at ``path`` would hold it.

    Raises
    ------
    ScenarioError
        Listing every defect with the path of its field.
    """
    document = validate(_with_gaps(raw), schema.Scenario, schema.json_schema, source=str(path))
    try:
        built = build(document, path.parent)
    except ScenarioError as error:
        raise ScenarioError(error.problems, source=str(path)) from error
    return Scenario(
        path=path,
        document=document,
        problem=built.problem,
        sha256=_hash(document, built),
        warnings=built.warnings,
        events=built.events,
        notes=tuple(note for note in built.notes if note not in built.warnings),
    )


def _with_gaps(raw: Any) -> Any:
    """TOML has no null: what was not measured of a pair is nan there."""
    network = raw.get("network") if isinstance(raw, dict) else None
    if not isinstance(network, dict):
        return raw
    filled = {
        name: [
            [None if v != v else v for v in row] if isinstance(row, list) else row
            for row in network[name]
        ]
        for name in ("rtt_ms", "server_mbit_per_s")
        if isinstance(network.get(name), list)
    }
    return {**raw, "network": {**network, **filled}} if filled else raw


def _hash(document: schema.Scenario, built: Built) -> str:
    """sha256 of the content; a field left out equals one that is given empty."""
    content = json.dumps(_pruned(msgspec.to_builtins(document)), sort_keys=True)
    digest = hashlib.sha256(content.encode())
    for referenced in built.referenced:
        digest.update(hashlib.sha256(referenced).digest())
    return digest.hexdigest()


def _pruned(value: Any) -> Any:
    """Without what is empty, so that optional fields of later versions change no hash."""
    if isinstance(value, dict):
        inner = {key: _pruned(item) for key, item in value.items()}
        return {key: item for key, item in inner.items() if item not in (None, "", [], {})}
    return [_pruned(item) for item in value] if isinstance(value, list | tuple) else value


def with_lengths(scenario: Scenario, mode: LengthMode | None, quantile: float | None) -> Scenario:
    """The scenario with other knowledge of output lengths; None leaves its own."""
    problem = scenario.problem
    use = problem.workload.lengths
    use = replace(use, mode=mode or use.mode, quantile=quantile or use.quantile)
    workload = replace(problem.workload, lengths=use)
    return replace(scenario, problem=replace(problem, workload=workload))
