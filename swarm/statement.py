"""What a serving peer says of itself in its own name: made, read and put beside announcements.

PETALS' announcements are what anybody stored under a peer's name. A statement is signed with the
key that the peer's id is the digest of (``stating``), so it is the peer's own word; whether it is
true is another matter, and it passes the same checks. Plain Python, no hivemind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from ..perfmodel.announced import measured_rates
from ..perfmodel.devices import BlockTimes, Device
from ..perfmodel.profilefile import block_times_ms, block_times_of
from ..scenarios import schema
from ..scenarios.kinds import device_figures
from .announce import (
    FASTEST_RPS,
    MOST_CACHE_TOKENS,
    SLOWEST_RPS,
    Announcement,
    Stated,
    Warnings,
    plain,
    read_entry,
)
from .claim import Claim, Kind, RefusedClaimError
from .limits import FLAGS

FORMAT = "swarmplan/live-server/1"
#: Of one statement, without the signature; pings make the most of it.
RECORD_LIMIT_BYTES = 65_536
#: Nothing a server says of its state counts for longer.
MOST_VALID_S = 3_600.0
MOST_ABILITIES = 32
_MOST_STEP_S = 600.0


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Block times of a profile, as profile files keep them."""

    timing_ms: dict[str, Any]
    hop_ms: dict[str, Any] | None = None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What the server's own clock says of late; see ``Stated``."""

    busy: float
    step_s: float | None = None


class Statement(Claim, frozen=True, kw_only=True):
    """The signed document. Fields that are not known are passed over: later versions have more.

    Attributes
    ----------
    announced : what PETALS announces of the same server, by the names of its fields.
    as_planned : whether it hosts its blocks as that version of the plan says, as far as it can.
    """

    peer: str
    announced: dict[str, Any]
    measured: Measured | None = None
    limits: dict[str, int] = msgspec.field(default_factory=dict)
    cache_tokens: int | None = None
    abilities: list[str] = msgspec.field(default_factory=list)
    operator: str = ""
    plan_version: int = 0
    as_planned: bool = True
    work: Work | None = None


KIND = Kind(
    type=Statement,
    format=FORMAT,
    maker="peer",
    most_bytes=RECORD_LIMIT_BYTES,
    most_valid_s=MOST_VALID_S,
    slack_s=60.0,
)


def measured_of(known: Device | BlockTimes) -> Measured:
    """Figures of a profile for a statement."""
    return Measured(**block_times_ms(known))


def packed(statement: Statement) -> bytes:
    """The document as it is signed."""
    return msgspec.json.encode(statement)


def read_statement(content: bytes, *, prefix: str, peer: str, now_s: float) -> Statement:
    """The statement of a document whose signature was checked.

    Raises
    ------
    RefusedClaimError
        For what ``KIND`` refuses, and where it has expired.
    """
    found = KIND.read(content, prefix=prefix, maker=peer, now_s=now_s)
    if not KIND.holds(found, now_s):
        raise RefusedClaimError("it has expired")
    return found


def heard(
    entries: Sequence[Announcement],
    statements: Mapping[str, Statement],
    num_blocks: int,
    warnings: Warnings,
) -> list[Announcement]:
    """The announcements, those of peers that made a statement in their own words.

    What cannot be used of a statement is left out with a warning; one that says nothing usable
    leaves the announcement as it is.
    """
    found = []
    for entry in entries:
        told = statements.get(entry.peer)
        own = None if told is None else _own(told, num_blocks, warnings)
        if own is not None and (own.start, own.end) != (entry.start, entry.end):
            words = "the span in the table under its name is not its own; its own counts"
            warnings.add(entry.peer, words)
        found.append(entry if own is None else replace(own, coordinates=entry.coordinates))
    return found


def _own(told: Statement, num_blocks: int, warnings: Warnings) -> Announcement | None:
    entry = read_entry(told.peer, told.announced, num_blocks, warnings)
    if entry is None:
        return None
    times = _times(told, warnings)
    if times is not None:
        # The same figures twice would be two words of one peer.
        inference, forward = measured_rates(times)
        entry = replace(entry, inference_rps=inference, forward_rps=forward)
    return replace(
        entry,
        stated=Stated(
            issued_s=told.issued_s,
            times=times,
            limits={n: v for n, v in told.limits.items() if n in FLAGS and 0 < v < 2**31},
            cache_tokens=_cache(told),
            abilities=frozenset(plain(a, 40) for a in told.abilities[:MOST_ABILITIES]),
            operator=plain(told.operator, 16),
            plan_version=max(0, min(told.plan_version, 2**53)),
            **_work(told),
        ),
    )


def _times(told: Statement, warnings: Warnings) -> BlockTimes | None:
    if told.measured is None:
        return None
    try:
        times = block_times_of(msgspec.structs.asdict(told.measured))
        absurd = any(not SLOWEST_RPS <= rate <= FASTEST_RPS for rate in measured_rates(times))
        # What no scenario can say would spoil that of all others.
        msgspec.convert(device_figures(times), schema.Device)
    # Whatever wrong figures and types raise: these figures are none. What msgspec raises is a
    # ValueError in its later versions only.
    except (msgspec.ValidationError, TypeError, ValueError, ArithmeticError, AttributeError):
        absurd = True
    if absurd:
        warnings.add(told.peer, "states block times that no server has; left out")
        return None
    return times


def _cache(told: Statement) -> int | None:
    tokens = told.cache_tokens
    return tokens if tokens is not None and 0 < tokens <= MOST_CACHE_TOKENS else None


def _work(told: Statement) -> dict[str, float | None]:
    """Of the server's own clock; what no clock shows is left out."""
    work = told.work
    if work is None or not 0.0 <= work.busy <= 1.0:
        return {}
    known = work.step_s is not None and 0.0 < work.step_s <= _MOST_STEP_S
    return {"busy": work.busy, "step_s": work.step_s if known else None}
