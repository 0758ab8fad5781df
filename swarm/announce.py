"""What peers say of themselves, taken with care: every figure is checked, nothing is believed.

Peers of an open swarm can announce anything. ``read_entry`` turns one raw announcement into an
``Announcement`` of plausible figures or drops it; ``merge`` settles what contradicts itself or
stands out from all others. Both answer with warnings and never fail.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from .batching import FIELD, Batching, read_batching

State = Literal["offline", "joining", "online"]
STATES: tuple[State, ...] = ("offline", "joining", "online")

#: Nothing that serves a block is faster or slower than this, tokens/s.
SLOWEST_RPS, FASTEST_RPS = 1e-3, 1e5
#: A server more than this many times faster than the median of the swarm is taken to be as fast.
OUTLIER = 10.0
#: Round trips beyond this are no connection, seconds.
LONGEST_RTT_S = 10.0
MOST_CACHE_TOKENS = 2**40
MOST_PINGS = 3_000
MOST_WARNINGS = 200
_PEER = re.compile(r"[1-9A-HJ-NP-Za-km-z]{20,128}")
_QUANTISATIONS = ("none", "int8", "nf4")
_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One server as it describes itself, within plausible limits.

    Attributes
    ----------
    start, end : blocks ``[start, end)``.
    throughput, network_rps, forward_rps, inference_rps : tokens/s, the last two per block.
    cache_tokens_left : free cache in PETALS' count: K and V of every block are one token each.
    next_pings : peer -> round trip in seconds; unreachable peers are left out.
    coordinates : (latitude, longitude) in degrees, from the health monitor only.
    batching : how it runs waiting steps as one pass; None = one after another.
    """

    peer: str
    state: State
    start: int
    end: int
    throughput: float | None = None
    network_rps: float | None = None
    forward_rps: float | None = None
    inference_rps: float | None = None
    cache_tokens_left: int | None = None
    next_pings: Mapping[str, float] = field(default_factory=dict)
    quant_type: str | None = None
    torch_dtype: str | None = None
    using_relay: bool = False
    public_name: str = ""
    coordinates: tuple[float, float] | None = None
    batching: Batching | None = None


class Warnings:
    """Warnings in order, each once, not more than ``MOST_WARNINGS``; hostile text is made plain."""

    def __init__(self) -> None:
        self._said: dict[str, None] = {}
        self._more = 0

    def add(self, who: str, what: str) -> None:
        """Note what was wrong with whom."""
        line = f"{plain(who, 64)}: {what}"
        if line in self._said:
            return
        if len(self._said) < MOST_WARNINGS:
            self._said[line] = None
        else:
            self._more += 1

    def lines(self) -> tuple[str, ...]:
        """What was said."""
        rest = (f"and {self._more} more warnings",) if self._more else ()
        return (*self._said, *rest)


def plain(text: object, longest: int) -> str:
    """Printable text without control characters, cut to a length."""
    shown = text if isinstance(text, str) else type(text).__name__
    return "".join(c if c.isprintable() else "?" for c in shown[: longest + 1])[:longest]


def read_entry(
    peer: object, raw: object, num_blocks: int, warnings: Warnings
) -> Announcement | None:
    """One raw announcement (field -> value), None when it cannot be used at all."""
    if not isinstance(peer, str) or not _PEER.fullmatch(peer):
        warnings.add(plain(peer, 24) or "?", "is no peer id; dropped")
        return None
    if not isinstance(raw, Mapping):
        warnings.add(peer, "announces no fields; dropped")
        return None
    state = _state(raw.get("state"))
    if state is None:
        warnings.add(peer, "announces no known state; dropped")
        return None
    start, end = _whole(raw.get("start_block")), _whole(raw.get("end_block"))
    if start is None or end is None or not 0 <= start < end <= num_blocks:
        warnings.add(peer, f"announces no span within the {num_blocks} blocks; dropped")
        return None
    rates = {
        name: _rate(peer, name, raw.get(name), warnings)
        for name in ("throughput", "network_rps", "forward_rps", "inference_rps")
    }
    return Announcement(
        peer=peer,
        state=state,
        start=start,
        end=end,
        **rates,
        cache_tokens_left=_cache(peer, raw.get("cache_tokens_left"), warnings),
        next_pings=_pings(peer, raw.get("next_pings"), warnings),
        quant_type=_one_of(peer, raw.get("quant_type"), _QUANTISATIONS, warnings),
        torch_dtype=_dtype(raw.get("torch_dtype")),
        using_relay=raw.get("using_relay") is True,
        public_name=plain(raw.get("public_name") or "", 64),
        coordinates=_place(raw.get("coordinates")),
        batching=_batching(peer, raw.get(FIELD), warnings),
    )


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
    known = [entry for entry in settled if entry is not None]
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
        kept.append(entry)
    return kept


def _state(value: object) -> State | None:
    if isinstance(value, str) and value.lower() in STATES:
        return STATES[STATES.index(value.lower())]
    number = _whole(value)
    return STATES[number] if number is not None and 0 <= number < len(STATES) else None


def _whole(value: object) -> int | None:
    """A whole number, also one that was written as 30.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    """A finite number; huge integers are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _rate(peer: str, name: str, value: object, warnings: Warnings) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or number <= 0:
        warnings.add(peer, f"{name} is no positive number; left out")
        return None
    clamped = min(max(number, SLOWEST_RPS), FASTEST_RPS)
    if clamped != number:
        warnings.add(peer, f"{name} {number:.4g} is absurd; {clamped:.4g} taken")
    return clamped


def _cache(peer: str, value: object, warnings: Warnings) -> int | None:
    if value is None:
        return None
    number = _whole(value)
    if number is None or number < 0:
        warnings.add(peer, "cache_tokens_left is no count; left out")
        return None
    if number > MOST_CACHE_TOKENS:
        warnings.add(peer, "cache_tokens_left is absurd; left out")
        return None
    return number


def _pings(peer: str, value: object, warnings: Warnings) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > MOST_PINGS:
        warnings.add(peer, "next_pings is no table of round trips; left out")
        return {}
    kept: dict[str, float] = {}
    wrong = 0
    for other, rtt in value.items():
        number = _number(rtt)
        unreachable = rtt is None or (isinstance(rtt, float) and rtt == math.inf)
        if not isinstance(other, str) or not _PEER.fullmatch(other):
            wrong += 1
        elif number is not None and 0 <= number <= LONGEST_RTT_S:
            kept[other] = number
        elif not unreachable:
            wrong += 1
    if wrong:
        warnings.add(peer, f"{wrong} of its next_pings are no round trips; left out")
    return kept


def _one_of(peer: str, value: object, known: tuple[str, ...], warnings: Warnings) -> str | None:
    if isinstance(value, str) and value.lower() in known:
        return value.lower()
    if value is not None:
        warnings.add(peer, "announces an unknown quantisation; left out")
    return None


def _batching(peer: str, value: object, warnings: Warnings) -> Batching | None:
    told = read_batching(value)
    if told is None and value is not None:
        warnings.add(peer, "announces passes of several sessions of no plausible cost; left out")
    return told


def _dtype(value: object) -> str | None:
    return value if isinstance(value, str) and value in _DTYPES else None


def _place(value: object) -> tuple[float, float] | None:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return None
    lat, lon = _number(value[0]), _number(value[1])
    if lat is None or lon is None or abs(lat) > 90 or abs(lon) > 180:
        return None
    return lat, lon
