"""A change in a sentence."""

from __future__ import annotations

import math

from ..render import number
from ..studies.change import reason
from .planner import Found
from .session import Change, Changes


def since(changes: Changes, baseline: Changes) -> Changes:
    """What was changed after a state; everything where that state is no longer part of it."""
    kept = changes[: len(baseline)] == baseline
    return changes[len(baseline) :] if kept else changes


def sentence(changes: Changes, before: Found, after: Found) -> str:
    """``frankfurt gone: p95 62 -> 88 s, capacity -31 %``."""
    if not changes:
        return "nothing changed"
    what = in_words(changes[-1])
    if len(changes) > 1:
        what += f" and {len(changes) - 1} more"
    told = [*_response(before, after), *_capacity(before, after)]
    return f"{what}: {', '.join(told)}" if told else what


def why(before: Found, after: Found) -> str:
    """What of the response moved, and by what."""
    if before.outcome is None or after.outcome is None or before.outcome is after.outcome:
        return ""
    return reason(before.outcome, after.outcome).removeprefix("now: ")


def in_words(change: Change) -> str:
    """A change as people say it."""
    return f"{change.value} gone" if change.kind == "remove" else change.edit().text


def _response(before: Found, after: Found) -> list[str]:
    if after.error:
        return [after.error]
    was, now = (f.figures.get("p95_response_s", math.nan) for f in (before, after))
    if math.isnan(now):
        return []
    if math.isnan(was):
        return [f"p95 {number(now)} s"]
    return [f"p95 {number(was)} -> {number(now)} s"]


def _capacity(before: Found, after: Found) -> list[str]:
    if before.carried is None or after.carried is None or not before.carried.rate_per_s:
        return []
    share = after.carried.rate_per_s / before.carried.rate_per_s - 1.0
    return [f"capacity {share * 100:+.0f} %" if abs(share) >= 0.005 else "capacity as before"]
