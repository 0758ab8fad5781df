"""What a client tells the other clients of its operator of its work in progress.

A small record under the client's own name: per server how many of its sessions are there, and
what a step of them takes. Others add the records up, as claims: checked and clipped. It is signed
and carried by ``sharing``; here its content is made and read. Plain Python, no hivemind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from .claim import Claim, Kind, RefusedClaimError

FORMAT = "swarmplan/live-work/1"
#: Of a record; servers and sessions of one; how long it may be said to hold.
RECORD_LIMIT_BYTES = 32_768
MOST_SERVERS, MOST_SESSIONS, MOST_VALID_S = 256, 64, 120.0
#: More is no step of any server, and no answer of any model.
_MOST_STEP_S, _MOST_STEPS = 600.0, 1_000_000.0


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sessions of one client at one server.

    Attributes
    ----------
    sessions : how many.
    work_s, alone_s, step_s : means over them: work of a step there, a whole step were nobody else
        anywhere, and a step as it is. Their use of the server is sessions x work / step.
    steps : mean of the steps that are expected to be left.
    """

    peer: str
    sessions: int
    work_s: float
    alone_s: float
    step_s: float
    steps: float


class _WorkRecord(Claim, frozen=True, forbid_unknown_fields=True, kw_only=True):
    client: str
    shares: list[Share]


_KIND = Kind(
    type=_WorkRecord,
    format=FORMAT,
    maker="client",
    most_bytes=RECORD_LIMIT_BYTES,
    most_valid_s=MOST_VALID_S,
    slack_s=10.0,
)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A client's shares, and how old they are."""

    shares: tuple[Share, ...]
    age_s: float


def work_record(
    shares: Sequence[Share], *, prefix: str, client: str, now_s: float, valid_s: float
) -> bytes:
    """The record of a client; of more servers than it may have, those with most sessions."""
    most = sorted(shares, key=lambda s: -s.sessions)[:MOST_SERVERS]
    record = _WorkRecord(
        format=FORMAT,
        prefix=prefix,
        client=client,
        issued_s=now_s,
        expires_s=now_s + min(valid_s, MOST_VALID_S),
        shares=most,
    )
    return msgspec.json.encode(record)


def read_work(packed: bytes, *, prefix: str, client: str, now_s: float) -> Told:
    """What a record whose signature was checked tells.

    Raises
    ------
    RefusedClaimError
        For what every record is refused for (``claim``), or absurd figures. One that has expired
        tells of nobody.
    """
    record = _KIND.read(packed, prefix=prefix, maker=client, now_s=now_s)
    if len(record.shares) > MOST_SERVERS:
        raise RefusedClaimError(f"it lists more than {MOST_SERVERS} servers")
    shares = tuple(map(_clipped, record.shares)) if _KIND.holds(record, now_s) else ()
    return Told(shares=shares, age_s=max(0.0, now_s - record.issued_s))


def _clipped(share: Share) -> Share:
    """What a server can do: no session works for longer than its step lasts."""
    figures = (share.work_s, share.alone_s, share.step_s, share.steps)
    if share.sessions < 1 or not all(math.isfinite(x) and x >= 0.0 for x in figures):
        raise RefusedClaimError(f"of {share.peer[:60]!r} it tells what cannot be")
    work_s = min(share.work_s, _MOST_STEP_S)
    alone_s = min(max(share.alone_s, work_s), _MOST_STEP_S)
    return Share(
        peer=share.peer,
        sessions=min(share.sessions, MOST_SESSIONS),
        work_s=work_s,
        alone_s=alone_s,
        step_s=min(max(share.step_s, alone_s), _MOST_STEP_S),
        steps=min(share.steps, _MOST_STEPS),
    )
