"""The compiled part of passes over drafts, of sessions in the task engine (``tasks``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.jit import compiled
from .drafts import (
    AHEAD,
    DRAFT_S,
    DRAFTS,
    END,
    GUESSED,
    PASSES,
    PETALS,
    POSITIONS,
    ROOM,
    SENT_S,
)
from .luck import tokens_made

#: More of a hop where sessions draft. task_tokens : positions of the longest step in one task.
#: position_s : more of the way for each position beyond one. task_s : of a step what does not grow
#: with its positions, once for each task.
PASS = np.dtype([("task_tokens", np.int64), ("position_s", np.float64), ("task_s", np.float64)])


@compiled
def positions_of(s: Any, slot: int) -> int:
    """Positions of a session's present pass."""
    return int(s.drafts[slot, POSITIONS])


@compiled
def is_cut(s: Any, slot: int) -> bool:
    """Whether a pass over drafts goes block by block at the session's present hop."""
    most: int = s.passes[slot, s.sessions[slot]["hop"]]["task_tokens"]
    return positions_of(s, slot) > most


@compiled
def pass_work_s(s: Any, slot: int, step_s: float) -> float:
    """Work of a pass that would take so long with one position; of a block where it is cut."""
    positions, at = positions_of(s, slot), s.sessions[slot]["hop"]
    if positions == 1:
        return step_s
    hop, task_s = s.hops[slot, at], s.passes[slot, at]["task_s"]
    j, blocks = hop["server"], hop["end"] - hop["start"]
    more_s = blocks * s.verify[1, j, positions]
    run_s = (step_s - task_s) * s.verify[0, j, positions] + more_s
    part_s: float = run_s / blocks if is_cut(s, slot) else run_s
    work_s: float = part_s + task_s
    return work_s


@compiled
def more_way_s(s: Any, slot: int) -> float:
    """The way of a pass into the present hop, beyond that of a step of one position."""
    positions, at = positions_of(s, slot), s.sessions[slot]["hop"]
    more_s: float = (positions - 1) * s.passes[slot, at]["position_s"]
    return more_s + s.hops[slot, at]["turn_s"] if is_cut(s, slot) else more_s


@compiled
def set_out_s(s: Any, slot: int, made: int) -> float:
    """Draft for the next pass, ``made`` tokens being there: when it comes to the first server."""
    at_s: float = s.sessions[slot]["token_s"] + s.hops[slot, 0]["gap_s"]
    if s.drafts[slot, DRAFTS] == 0:
        return at_s
    return at_s + drafted_s(s, slot, made) + more_way_s(s, slot)


@compiled
def drafted_s(s: Any, slot: int, made: int) -> float:
    """Draft for the next pass, ``made`` tokens being there, and how long that takes.

    Nobody drafts past the reservation, of which the last token is the target's own; PETALS' class
    has none of its own after drafts.
    """
    most, room = s.drafts[slot, DRAFTS], s.drafts[slot, ROOM]
    if most == 0:
        return 0.0
    petals = s.drafts[slot, PETALS] > 0
    count = max(0.0, min(most, room - made - (0 if petals else 1)))
    s.drafts[slot, POSITIONS] = max(1.0, count) if petals else count + 1
    own_s: float = count * s.drafts[slot, DRAFT_S]
    token_s = s.sessions[slot]["token_s"]
    if s.drafts[slot, AHEAD] > 0 and s.drafts[slot, GUESSED] > 0:
        own_s = max(0.0, own_s - (token_s - s.drafts[slot, SENT_S]))
    s.drafts[slot, SENT_S] = token_s + own_s
    return own_s


@compiled
def made_by(s: Any, slot: int) -> int:
    """Tokens that a pass over drafts makes."""
    session = s.sessions[slot]
    if s.drafts[slot, DRAFTS] > 0:
        s.drafts[slot, PASSES] += 1
    made: int = tokens_made(
        s.drafts, slot, positions_of(s, slot), session["prompt"] + session["made"]
    )
    left: int = int(s.drafts[slot, END]) - session["made"]
    return min(made, left)
