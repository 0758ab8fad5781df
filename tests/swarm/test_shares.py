"""What clients tell each other of their sessions: claims, checked and clipped."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.swarm import shares
from swarmplan.swarm.claim import RefusedClaimError
from swarmplan.swarm.shares import Share, read_work, work_record

NOW = 1_000_000.0
ONE = Share(peer="A", sessions=3, work_s=0.08, alone_s=0.11, step_s=0.11, steps=40.0)


def packed(*given_shares: Share, valid_s: float = 30.0) -> bytes:
    return work_record(given_shares, prefix="p", client="c", now_s=NOW, valid_s=valid_s)


def changed(**changes: Any) -> bytes:
    """The record of one share, some of its figures changed."""
    document = json.loads(packed(ONE))
    document["shares"][0].update(changes)
    return json.dumps(document).encode()


def read(body: bytes, now_s: float = NOW) -> Any:
    return read_work(body, prefix="p", client="c", now_s=now_s)


def test_a_record_tells_what_was_put_in_and_how_old_it_is() -> None:
    told = read(packed(ONE), NOW + 12.0)
    assert told.shares == (ONE,)
    assert told.age_s == 12.0


def test_an_expired_record_tells_of_nobody_and_none_holds_for_long() -> None:
    assert read(packed(ONE), NOW + 30.0).shares == ()
    assert read(packed(ONE, valid_s=1e9), NOW + shares.MOST_VALID_S + 1).shares == ()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"x" * (shares.RECORD_LIMIT_BYTES + 1), "more than"),
        (b"\xff\x00", "cannot be read"),
        (b"[" * 10_000, "cannot be read"),
        (changed(more=1), "cannot be read"),
        (changed(sessions=2.5), "cannot be read"),
        (changed(work_s="much"), "cannot be read"),
        (changed(sessions=0), "what cannot be"),
        (changed(work_s=-1.0), "what cannot be"),
        (changed(steps=-3.0), "what cannot be"),
        (packed(ONE).replace(b"40.0", b"1e999"), "cannot be"),
        (packed(ONE).replace(b"live-work/1", b"live-work/9"), "unknown format"),
        (packed(ONE).replace(b'"p"', b'"q"'), "another swarm"),
        (packed(ONE).replace(b'"c"', b'"d"'), "another client"),
    ],
)
def test_an_absurd_record_is_refused_with_a_reason(body: bytes, words: str) -> None:
    with pytest.raises(RefusedClaimError, match=words):
        read(body)


def test_a_record_from_the_future_or_of_too_many_servers_is_refused() -> None:
    with pytest.raises(RefusedClaimError, match="future"):
        read(packed(ONE), NOW - 60.0)
    document = json.loads(packed(ONE))
    document["shares"] *= shares.MOST_SERVERS + 1
    with pytest.raises(RefusedClaimError, match="servers"):
        read(json.dumps(document).encode())


def test_of_more_servers_than_a_record_holds_those_with_most_sessions_are_told() -> None:
    many = [
        Share(peer=f"{i}", sessions=1 + (i > 5), work_s=0.1, alone_s=0.2, step_s=0.2, steps=1.0)
        for i in range(shares.MOST_SERVERS + 6)
    ]
    told = read(packed(*many)).shares
    assert len(told) == shares.MOST_SERVERS
    assert min(s.sessions for s in told) == 2


@given(st.integers(1, 10**9), *[st.floats(0, 1e30)] * 4)
def test_what_is_claimed_is_clipped_to_what_a_server_can_do(
    sessions: int, work_s: float, alone_s: float, step_s: float, steps: float
) -> None:
    claimed = Share(
        peer="A", sessions=sessions, work_s=work_s, alone_s=alone_s, step_s=step_s, steps=steps
    )
    (share,) = read(packed(claimed)).shares
    assert 1 <= share.sessions <= shares.MOST_SESSIONS
    assert share.work_s <= share.alone_s <= share.step_s  # use: at most one for each session
    assert all(map(math.isfinite, (share.step_s, share.steps)))
