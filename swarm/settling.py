"""Announcements against each other: one per peer, what contradicts itself or stands out settled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from .announce import Announcement, Warnings

#: A server more than this many times faster than the median of the swarm is taken to be as fast.
OUTLIER = 10.0


def merge(
    entries: Iterable[tuple[int | None, Announcement]], warnings: Warnings
) -> list[Announcement]:
    """One announcement per peer, sorted by peer, settled against the others.

    Parameters
    ----------
    entries : (block under which it was found, announcement); the block None where unknown. Of one
        peer, later ones are newer.
    """
    by_peer: dict[str, list[tuple[int | None, Announcement]]] = defaultdict(list)
    for block, entry in entries:
        by_peer[entry.peer].append((block, entry))
    settled = [_settle(peer, found, warnings) for peer, found in sorted(by_peer.items())]
    return plausible([entry for entry in settled if entry is not None], warnings)


def plausible(entries: Sequence[Announcement], warnings: Warnings) -> list[Announcement]:
    """Rates that stand out from all others cut; block times go with the rate they make."""
    known = list(entries)
    for name in ("forward_rps", "inference_rps", "network_rps"):
        known = _without_outliers(known, name, warnings)
    return known


def is_spanless(fields: object) -> bool:
    """Whether an announcement does not say where its span begins and ends."""
    if not isinstance(fields, Mapping):
        return False
    return fields.get("start_block") is None and fields.get("end_block") is None


def with_spans(
    rows: Sequence[tuple[float, int, object, object]],
) -> list[tuple[float, int, object, object]]:
    """(expiry, block, peer, fields) of spanless entries, with the run of blocks they lie under.

    Versions of PETALS before 2.0 do not announce their span; PETALS' own readers take it from the
    blocks that a server is listed under.
    """
    listed: dict[object, set[int]] = defaultdict(set)
    for _, block, peer, _ in rows:
        if isinstance(peer, str):
            listed[peer].add(block)
    runs = {peer: _longest_run(blocks) for peer, blocks in listed.items()}
    return [
        (expires_s, block, peer, {**fields, "start_block": run[0], "end_block": run[1]})
        for expires_s, block, peer, fields in rows
        if isinstance(peer, str) and isinstance(fields, Mapping) and (run := runs[peer])
    ]


def _longest_run(blocks: set[int]) -> tuple[int, int]:
    """The longest run ``[start, end)`` of consecutive blocks, of equals the first."""
    best = (0, 0)
    for start in sorted(blocks):
        if start - 1 not in blocks:
            end = start
            while end in blocks:
                end += 1
            if end - start > best[1] - best[0]:
                best = (start, end)
    return best


def symmetric_rtt_s(entries: list[Announcement]) -> dict[tuple[str, str], float]:
    """Round trips between servers; where both ends tell, the longer one, so that none can lie
    itself nearer."""
    told: dict[tuple[str, str], float] = {}
    peers = {entry.peer for entry in entries}
    for entry in entries:
        for other, rtt_s in entry.next_pings.items():
            if other in peers and other != entry.peer:
                pair = (min(entry.peer, other), max(entry.peer, other))
                told[pair] = max(rtt_s, told.get(pair, 0.0))
    return told


def _settle(
    peer: str, found: list[tuple[int | None, Announcement]], warnings: Warnings
) -> Announcement | None:
    """The newest that agrees with where it was found; contradictions lose."""
    fitting = [e for block, e in found if block is None or e.start <= block < e.end]
    if len(fitting) < len(found):
        warnings.add(peer, "is listed under blocks outside the span it announces")
    if not fitting:
        return None
    spans = Counter((e.start, e.end) for e in fitting)
    if len(spans) > 1:
        warnings.add(peer, "announces more than one span; the most frequent one counts")
    # A server that moves still has old entries under the blocks it left.
    best = max(spans, key=lambda span: (spans[span] / (span[1] - span[0]), span))
    return [e for e in fitting if (e.start, e.end) == best][-1]


def _without_outliers(
    entries: list[Announcement], name: str, warnings: Warnings
) -> list[Announcement]:
    """Rates far above the swarm's median are cut to ``OUTLIER`` times the median."""
    rates = [rate for e in entries if (rate := getattr(e, name)) is not None]
    if len(rates) < 3:
        return entries
    most = OUTLIER * float(np.median(rates))
    kept = []
    for entry in entries:
        rate = getattr(entry, name)
        if rate is not None and rate > most:
            warnings.add(entry.peer, f"{name} {rate:.4g} is far above all others; {most:.4g} taken")
            entry = replace(entry, **{name: most})  # type: ignore[arg-type]
            if entry.stated is not None and name != "network_rps":
                entry = replace(entry, stated=replace(entry.stated, times=None))
        kept.append(entry)
    return kept
