"""A sweep file with its scenario: what is to be run, configuration by configuration."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..core.errors import ScenarioError
from ..scenarios.defects import MAX_LISTED, validate
from ..scenarios.files import parse_file
from ..scenarios.scenario import load_scenario
from .document import Document
from .sweepedits import defects
from .sweepschema import Sweep, sweep_schema

#: All configurations are listed in memory.
MAX_CONFIGURATIONS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One configuration: a variant, one value per key, one seed.

    Attributes
    ----------
    index : position in the sweep; results are sorted by it.
    values : key and value of the grid, in the order of the file.
    """

    index: int
    variant: str
    values: tuple[tuple[str, Any], ...]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A sweep that is ready to run.

    Attributes
    ----------
    raw : plain data of the scenario file, ``folder`` what its paths are relative to.
    sha256 : of the sweep and of the scenario with all that it refers to.
    """

    sweep: Sweep
    scenario: Path
    raw: Document
    sha256: str
    points: tuple[Point, ...]


def load_sweep(path: Path) -> Prepared:
    """Read a sweep file and list its configurations.

    Raises
    ------
    ScenarioError
        For every defect of the sweep, and for those of its scenario.
    """
    sweep = validate(parse_file(path), Sweep, sweep_schema, source=str(path))
    scenario = path.parent / sweep.scenario
    base = load_scenario(scenario)
    raw = parse_file(scenario)
    wrong = defects(sweep, raw)
    if wrong:
        raise ScenarioError(wrong[:MAX_LISTED], source=str(path))
    content = json.dumps(msgspec.to_builtins(sweep), sort_keys=True) + base.sha256
    return Prepared(
        sweep=sweep,
        scenario=scenario.resolve(),
        raw=raw,
        sha256=hashlib.sha256(content.encode()).hexdigest(),
        points=_points(sweep, path),
    )


def _points(sweep: Sweep, path: Path) -> tuple[Point, ...]:
    seeds = range(sweep.seeds) if isinstance(sweep.seeds, int) else dict.fromkeys(sweep.seeds)
    variants = list(sweep.variants) or [""]
    total = len(variants) * len(seeds) * math.prod(len(v) for v in sweep.grid.values())
    if total > MAX_CONFIGURATIONS:
        message = f"has {total:,} configurations; at most {MAX_CONFIGURATIONS:,} are supported"
        raise ScenarioError.single("", message, source=str(path))
    combinations = list(itertools.product(*sweep.grid.values()))
    return tuple(
        Point(
            index=index,
            variant=variant,
            values=tuple(zip(sweep.grid, values, strict=True)),
            seed=seed,
        )
        for index, (variant, values, seed) in enumerate(
            itertools.product(variants, combinations, seeds)
        )
    )
