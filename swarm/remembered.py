"""The file in which a follower remembers the highest version it accepted of each operator."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ScenarioError
from ..scenarios.files import read_bytes, write_text

logger = logging.getLogger(__name__)

#: Versions are about seconds since the epoch; one far beyond would shut out all that follow.
VERSION_SLACK = 10**7
_LIMIT_BYTES = 1 << 20
#: Operators and swarms that one file remembers, the last ones.
_MOST_ENTRIES = 100


@dataclass(frozen=True, slots=True)
class Accepted:
    """Version and digest of the newest record that was accepted; 0 and "" for none."""

    version: int = 0
    digest: str = ""


def remembered(state: Path | None, prefix: str, operator: str) -> Accepted:
    """What was accepted of an operator for a swarm; a damaged file counts as none, loudly."""
    if state is None:
        return Accepted()
    entry = _content(state).get(_name(prefix, operator))
    return Accepted() if entry is None else Accepted(entry["version"], entry["digest"])


def remember(state: Path, prefix: str, operator: str, accepted: Accepted) -> None:
    """Note what was accepted, beside what the file says of others.

    Raises
    ------
    ScenarioError
        If the file cannot be written.
    """
    content, name = _content(state), _name(prefix, operator)
    content.pop(name, None)
    content[name] = {"version": accepted.version, "digest": accepted.digest}
    last = dict(list(content.items())[-_MOST_ENTRIES:])
    write_text(state, json.dumps(last) + "\n")


def _name(prefix: str, operator: str) -> str:
    return f"{prefix} {hashlib.sha256(operator.encode()).hexdigest()[:16]}"


def _content(state: Path) -> dict[str, Any]:
    """The sound entries of a file."""
    if not state.exists():
        return {}
    try:
        content = json.loads(read_bytes(state, _LIMIT_BYTES))
    except (ValueError, RecursionError, ScenarioError) as error:
        logger.warning("%s cannot be read (%s): older plans may be accepted once", state, error)
        return {}
    entries = content.items() if isinstance(content, dict) else ()
    sound = {name: entry for name, entry in entries if _is_sound(entry)}
    if len(sound) < len(entries) or not isinstance(content, dict):
        logger.warning("%s is damaged: older plans may be accepted once", state)
    return sound


def _is_sound(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    version, digest = entry.get("version"), entry.get("digest")
    if not isinstance(version, int) or isinstance(version, bool) or not isinstance(digest, str):
        return False
    return 0 < version <= time.time() + VERSION_SLACK
