"""A change in a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from ..render import number
from ..studies.change import reason
from ..studies.edits import parts_of
from .planner import Found
from .session import Change, Changes, target_of

#: A sign of patterns as itself, in a path.
_PLAIN = re.compile(r"\[([*?[])\]")


#: Values of fields as they are said.
_SAID = {
    "rate_per_s": "{} requests/s",
    "gap_cv": "gaps vary by {}",
    "prompt_tokens": "prompts of {} tokens",
    "output_tokens": "answers of {} tokens",
    "memory_gb": "{} GB",
    "device": "{}",
    "quantisation": "{}",
    "precisions": "precision open: {}",
    "wire": "states go by {}",
    "budget": "accuracy budget {} %",
    "draft_tokens": "drafts of a pass: {}",
    "acceptance": "drafts accepted {}",
    "draft_ms": "a draft takes {} ms",
    "requests": "{} requests",
    "max_requests": "the first {} requests",
}


def since(changes: Changes, baseline: Changes) -> tuple[str, ...]:
    """What was changed after a state, in words; what is no longer so is told as taken back."""
    new = [c for c in changes if c not in baseline]
    over = {target_of(c) for c in new} - {None}
    back = [c for c in baseline if c not in changes and target_of(c) not in over]
    return (*(f"taken back: {in_words(c)}" for c in back), *map(in_words, new))


def sentence(told: Sequence[str], before: Found, after: Found) -> str:
    """``frankfurt gone: p95 62 -> 88 s, capacity -31 %``; ``told`` is the change, the last last."""
    if not told:
        return "nothing changed"
    what = told[-1]
    if len(told) > 1:
        what += f" and {len(told) - 1} more"
    said = [*_response(before, after), *_capacity(before, after)]
    return f"{what}: {', '.join(said)}" if said else what


def why(before: Found, after: Found) -> str:
    """What of the response moved, and by what."""
    if before.outcome is None or after.outcome is None or before.outcome is after.outcome:
        return ""
    return reason(before.outcome, after.outcome).removeprefix("now: ")


def in_words(change: Change) -> str:
    """A change as people say it."""
    if change.kind == "remove":
        return f"{change.value} gone"
    if change.kind == "set":
        return _set_in_words(*change.value) or change.edit().text
    return change.edit().text


def _set_in_words(path: str, value: Any) -> str:
    """Who has what now; nothing where the path itself says it best."""
    parts = [_PLAIN.sub(r"\1", part) for part in parts_of(path)]
    value = ", ".join(map(str, value)) if isinstance(value, list) else value
    match parts:
        case ["servers" | "clients", name, field] if field in _SAID:
            return f"{name}: {_SAID[field].format(value)}"
        case ["workload", "streams", name, field] if field in _SAID:
            who = "all clients" if name == "*" else name
            who = f"stream {int(name) + 1}" if name.isdecimal() else who
            return f"{who}: {_SAID[field].format(value)}"
        case ["accuracy", "budget_of", name]:
            return f"{name}: {_SAID['budget'].format(value)}"
        case ["speculation", "models", name, field] if field in _SAID:
            return f"{name}: {_SAID[field].format(value)}"
        case ["workload", "trace"] if isinstance(value, dict):
            return f"requests of {value.get('csv')}"
        case ["workload", "trace", field] if field in _SAID:
            return f"trace: {_SAID[field].format(value)}"
        case ["model", "quantisation"]:
            return f"blocks at {value}"
        case ["accuracy" | "network" | "speculation" | "workload", field] if field in _SAID:
            return _SAID[field].format(value)
    return ""


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
