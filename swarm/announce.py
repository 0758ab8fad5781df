"""What peers say of themselves, taken with care: every figure is checked, nothing is believed.

Peers of an open swarm can announce anything. ``read_entry`` turns one raw announcement into an
``Announcement`` of plausible figures or drops it; ``settling`` goes on from there. Both answer with
warnings and never fail.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..perfmodel.devices import BlockTimes
from .batching import FIELD, Batching, read_batching

State = Literal["offline", "joining", "online"]
STATES: tuple[State, ...] = ("offline", "joining", "online")

#: Nothing that serves a block is faster or slower than this, tokens/s.
SLOWEST_RPS, FASTEST_RPS = 1e-3, 1e5
#: Round trips beyond this are no connection, seconds.
LONGEST_RTT_S = 10.0
MOST_CACHE_TOKENS = 2**40
#: Fields that only mended servers announce: sessions can take tokens back; positions that a step
#: may have and still be one task.
ROLLBACK, TASK_TOKENS = "rollback", "task_tokens"
MOST_TASK_TOKENS = 100_000
MOST_PINGS = 3_000
MOST_ADAPTERS = 100
MOST_WARNINGS = 200
_PEER = re.compile(r"[1-9A-HJ-NP-Za-km-z]{20,128}")
_QUANTISATIONS = ("none", "int8", "nf4")
_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a server says beyond what PETALS announces, signed with its peer key (``statement``).

    Attributes
    ----------
    issued_s : when, seconds since the epoch.
    times : of its blocks at its precision, as ``swarm measure`` found them, or None.
    limits : names of PETALS' flags -> what it allows.
    cache_tokens : its whole attention cache in PETALS' count, as ``cache_tokens_left``.
    abilities : optional parts of the plugin that it runs with.
    operator, plan_version : whose plans it follows ("" = nobody's), and which one it does now.
    step_s, busy : seconds that a step of one token took it of late, median over its whole span, and
        the share of the time that it was at work; None where it had nothing to do.
    """

    issued_s: float
    times: BlockTimes | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    cache_tokens: int | None = None
    abilities: frozenset[str] = frozenset()
    operator: str = ""
    plan_version: int = 0
    step_s: float | None = None
    busy: float | None = None


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
    version : of PETALS, "" = not told.
    stated : what the peer itself told and signed; with it the other fields are the peer's own too.
    rollback : whether sessions can take tokens back there; task_tokens : positions of a step that
        is one task, where it is not PETALS' own limit.
    batching : how it runs waiting steps as one pass; None = one after another.
    adapters : that it has loaded, by the names that it loaded them by.
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
    version: str = ""
    stated: Stated | None = None
    rollback: bool = False
    task_tokens: int | None = None
    batching: Batching | None = None
    adapters: tuple[str, ...] = ()


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
    rates: dict[str, Any] = {
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
        version=plain(raw.get("version") or "", 32),
        rollback=_whole(raw.get(ROLLBACK)) == 1,
        task_tokens=_task_tokens(peer, raw.get(TASK_TOKENS), warnings),
        batching=_batching(peer, raw.get(FIELD), warnings),
        adapters=_adapters(peer, raw.get("adapters"), warnings),
    )


def _adapters(peer: str, value: object, warnings: Warnings) -> tuple[str, ...]:
    """Names of adapters; such that are none are left out."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or len(value) > MOST_ADAPTERS:
        warnings.add(peer, "announces no plausible list of adapters; left out")
        return ()
    names = [n for n in value if isinstance(n, str) and 0 < len(n) <= 200 and n.isprintable()]
    if len(names) < len(value):
        warnings.add(peer, f"{len(value) - len(names)} of its adapters have no name; left out")
    return tuple(dict.fromkeys(names))


def _task_tokens(peer: str, value: object, warnings: Warnings) -> int | None:
    number = _whole(value)
    if number is not None and 0 < number <= MOST_TASK_TOKENS:
        return number
    if value is not None:
        warnings.add(peer, "task_tokens is no plausible count; left out")
    return None


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
