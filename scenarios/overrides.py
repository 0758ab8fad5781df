"""Constraints from outside the scenario file, added to those in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import structs

from ..core.errors import ScenarioError
from ..core.problem import Problem
from .constraints import build_constraints
from .planfile import read_plan
from .scenario import Scenario


def constrained(
    scenario: Scenario,
    *,
    asked: Mapping[str, Any],
    current: Path | None = None,
    keep: Sequence[str] = (),
) -> Problem:
    """The problem with further constraints on placements, over those of the scenario file.

    Parameters
    ----------
    asked : fields of the file's ``resilience`` section; lists and tables are added to.
    current, keep : a plan file, and servers that stay at the blocks that it gives them.

    Raises
    ------
    ScenarioError
        For unknown names, and for servers to keep without a plan to keep them at.
    """
    problem, given = scenario.problem, scenario.document.resilience
    pinned = {**given.pinned, **asked.get("pinned", {})}
    if keep and current is None:
        raise ScenarioError.single("--keep", "needs --current PLAN, the plan in force")
    if current is not None:
        placement = read_plan(current, scenario).placement
        known = {s.id: j for j, s in enumerate(problem.servers)}
        for name in keep:
            if name not in known:
                raise ScenarioError.single("--keep", f"no server {name!r} in the scenario")
            pinned[name] = (int(placement.start[known[name]]), int(placement.end[known[name]]))
    forbidden = {
        name: [*given.forbidden.get(name, ()), *asked.get("forbidden", {}).get(name, ())]
        for name in (*given.forbidden, *asked.get("forbidden", {}))
    }
    merged = structs.replace(
        given,
        **{
            **asked,
            "survive": [*given.survive, *asked.get("survive", ())],
            "pinned": pinned,
            "forbidden": forbidden,
        },
    )
    constraints = build_constraints(problem, merged)
    return replace(problem, planning=replace(problem.planning, constraints=constraints))
