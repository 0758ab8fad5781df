"""One look at a swarm: what was read, and what a watcher makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ..core.errors import SwarmplanError
from ..core.problem import Problem
from ..scenarios import schema
from ..scenarios.build import build
from .inspecting import Notes, Wanted, inspect_swarm
from .verdict import Action, State, Verdict, Weighing, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a round found; ``problem`` None where nothing could be read or loaded.

    Attributes
    ----------
    judged : None where no plan could be made.
    """

    at_s: float
    action: Action
    reason: str
    problem: Problem | None = None
    notes: Notes = field(default_factory=lambda: Notes(warnings=(), estimated=()))
    judged: Verdict | None = None


def dry_turn(wanted: Wanted, state: State, weighing: Weighing, now_s: float) -> Turn:
    """What a watcher with this state would do now; nothing is done or written.

    Raises
    ------
    ScenarioError, SwarmUnreachableError, MissingExtraError
        If the swarm cannot be read.
    """
    document, notes = inspect_swarm(wanted)
    problem = build(msgspec.convert(document, schema.Scenario), Path()).problem
    try:
        judged = verdict(problem, state, weighing, now_s)
    except SwarmplanError as error:
        return Turn(at_s=now_s, action="failed", reason=str(error), problem=problem, notes=notes)
    return Turn(
        at_s=now_s,
        action=judged.action,
        reason=judged.reason,
        problem=problem,
        notes=notes,
        judged=judged,
    )
