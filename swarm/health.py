"""The health monitor's ``/api/v1/state`` as announcements; from a file or an address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import ScenarioError
from ..scenarios.files import read_bytes
from .announce import Announcement, Warnings, plain, read_entry
from .fetch import LIMIT_BYTES, fetched
from .settling import merge

MOST_SERVERS = 10_000


def read_state(source: str) -> Any:
    """The JSON document at an ``http(s)`` address or in a file.

    Raises
    ------
    SwarmUnreachableError, ScenarioError
        If nobody answers in time; if it is too large or no JSON.
    """
    if source.startswith(("http://", "https://")):
        content = fetched(source)
    else:
        if Path(source).exists() and not Path(source).is_file():
            raise ScenarioError.single("", "is no file, but a folder or a pipe", source=source)
        content = read_bytes(Path(source), LIMIT_BYTES)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ScenarioError.single("", f"is no JSON document: {error}", source=source) from error


def announcements_of(
    document: Any, model: str, num_blocks: int, warnings: Warnings
) -> list[Announcement]:
    """The servers of one model of a state document.

    Raises
    ------
    ScenarioError
        If the document reports no such model; names those that it does.
    """
    report = _report(document, model)
    rows = report.get("server_rows")
    entries = []
    for row in rows[:MOST_SERVERS] if isinstance(rows, list) else ():
        if not isinstance(row, Mapping):
            warnings.add("a row", "is no table; dropped")
            continue
        entry = read_entry(row.get("peer_id"), _flat(row), num_blocks, warnings)
        if entry is not None:
            entries.append((None, entry))
    return merge(entries, warnings)


def _report(document: Any, model: str) -> Mapping[str, Any]:
    reports = document.get("model_reports") if isinstance(document, Mapping) else None
    known = [r for r in reports if isinstance(r, Mapping)] if isinstance(reports, list) else []
    if not known:
        raise ScenarioError.single("model_reports", "is missing: no health monitor's state")
    names = []
    for report in known:
        words = [report.get(key) for key in ("name", "short_name", "dht_prefix", "repository")]
        text = [word for word in words if isinstance(word, str)]
        if any(model.casefold() in (w.casefold(), w.casefold().split("/")[-1]) for w in text):
            return report
        names += text[:1]
    shown = ", ".join(plain(name, 80) for name in names[:10])
    raise ScenarioError.single("model_reports", f"no model {model!r}; there are: {shown}")


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row and of its span in one table, named as in the DHT."""
    span = row.get("span")
    span = span if isinstance(span, Mapping) else {}
    info = span.get("server_info")
    fields = dict(info) if isinstance(info, Mapping) else {}
    if fields.get("state") is None:
        fields["state"] = row.get("state")
    for name, own in (("start_block", "start"), ("end_block", "end")):
        if span.get(own) is not None:
            fields[name] = span[own]
    if isinstance(row.get("state"), str):
        fields["state"] = row["state"]
    place = row.get("peer_ip_info")
    place = place.get("location") if isinstance(place, Mapping) else None
    if isinstance(place, Mapping):
        fields["coordinates"] = (place.get("lat"), place.get("lon"))
    return fields
