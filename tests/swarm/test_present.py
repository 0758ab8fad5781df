"""Who is at work: own sessions, published ones, and strangers for waits that nobody explains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from swarmplan.perfmodel.contention import Crowd
from swarmplan.swarm.hops import HALF_S, Sample
from swarmplan.swarm.present import MOST_TOLD, OwnHop, Present, spliced
from swarmplan.swarm.shares import MOST_SESSIONS, Share, Told
from swarmplan.swarm.strangers import MOST_STRANGERS, NOISE, strangers, unexplained_s

ROW = {"A": 0, "B": 1}
MOST_S = np.array([0.08, 0.08])


def hop(peer: str, start: int = 0, end: int = 8) -> OwnHop:
    return OwnHop(peer=peer, start=start, end=end, delay_s=0.03, work_s=0.01 * (end - start))


def crowd_of(present: Present, now_s: float, *, without: int | None = None) -> Crowd:
    crowd = Crowd(np.array([True, True]))
    present.join(crowd, ROW, now_s, most_work_s=MOST_S, stranger_steps=50.0, without=without)
    return crowd


def count(present: Present, now_s: float, *, without: int | None = None) -> list[int]:
    seats = crowd_of(present, now_s, without=without).seats(now_s)
    return [int(n) for n in seats["weight"]]


def told(*shares: Share, age_s: float = 0.0) -> dict[str, Told]:
    return {"other": Told(shares=shares, age_s=age_s)}


def test_nobody_is_there_until_something_is_known() -> None:
    present = Present()
    assert count(present, 0.0) == [0, 0]
    assert present.waits(0.0, stranger_steps=50.0) == {}
    assert present.shares() == []


def test_own_sessions_count_from_their_beginning_to_their_end() -> None:
    present = Present()
    present.begin(1, [hop("A", 0, 4), hop("B", 4, 8)], steps=20)
    present.begin(2, [hop("A")], steps=20)
    assert count(present, 0.0) == [2, 1]
    assert count(present, 0.0, without=2) == [1, 1]  # about to take another chain
    assert crowd_of(present, 0.0).lefts(0.0)[0] == 20.0
    for i in range(16):  # the prompt, and steps
        present.step(1, 0.5 * i)
    assert crowd_of(present, 9.0).lefts(9.0)[0] == 5.0
    for i in range(16, 31):
        present.step(1, 0.5 * i)
    assert crowd_of(present, 9.0).lefts(9.0)[0] == 1.0  # late: a step away
    present.end(1)
    present.end(7)
    assert count(present, 9.0) == [1, 0]


def test_a_retry_takes_the_place_of_what_it_covers() -> None:
    old = [hop("A", 0, 3), hop("B", 3, 6), hop("C", 6, 8)]
    new = [hop("D", 3, 5), hop("E", 5, 6)]
    assert [h.peer for h in spliced(old, new)] == ["A", "D", "E", "C"]
    present = Present()
    present.begin(1, [hop("A", 0, 4), hop("A2", 4, 8)], steps=20)
    present.begin(1, [hop("B", 4, 8)], steps=20)
    assert [h.peer for h in present.chains()[1]] == ["A", "B"]
    assert count(present, 0.0) == [1, 1]


def test_own_sessions_are_told_by_server_and_come_back_as_they_were() -> None:
    present, other = Present(), Present()
    present.begin(1, [hop("A", 0, 4), hop("B", 4, 8)], steps=20)
    present.begin(2, [hop("A")], steps=40)
    before = present.changes
    shares = {s.peer: s for s in present.shares()}
    assert (shares["A"].sessions, shares["B"].sessions) == (2, 1)
    assert shares["A"].work_s == pytest.approx(0.06)
    assert shares["A"].alone_s == pytest.approx((0.14 + 0.11) / 2)
    assert shares["A"].step_s == shares["A"].alone_s  # no step was seen yet
    assert shares["A"].steps == 30.0
    other.hear(told(*shares.values()), 0.0)
    assert count(other, 0.0) == [2, 1]
    assert other.shares() == []  # only what is one's own is told on
    other.hear({}, 1.0)
    assert count(other, 1.0) == [0, 0]
    present.end(1)
    assert present.changes > before


def test_what_others_claim_is_no_more_than_a_step_on_the_whole_span() -> None:
    present = Present()
    huge = Share(
        peer="A", sessions=MOST_SESSIONS, work_s=500.0, alone_s=500.0, step_s=500.0, steps=1e6
    )
    elsewhere = Share(peer="unknown", sessions=3, work_s=0.1, alone_s=0.2, step_s=0.2, steps=5.0)
    present.hear(told(huge, elsewhere), 0.0)
    wait = crowd_of(present, 0.0).wait_s(0.0)
    assert wait[0] <= MOST_SESSIONS * MOST_S[0] * (1 + 1e-9)
    assert wait[1] == 0.0


def test_more_sessions_than_are_looked_at_cost_no_more() -> None:
    present = Present()
    share = Share(peer="A", sessions=MOST_SESSIONS, work_s=0.08, alone_s=0.2, step_s=0.2, steps=9.0)
    present.hear({f"{i}": Told(shares=(share,), age_s=0.0) for i in range(100)}, 0.0)
    assert count(present, 0.0)[0] == MOST_TOLD


def test_what_was_told_some_time_ago_has_made_steps_since_and_may_have_ended() -> None:
    present = Present()
    share = Share(peer="A", sessions=1, work_s=0.08, alone_s=0.5, step_s=1.0, steps=100.0)
    present.hear(told(share, age_s=20.0), 50.0)
    assert crowd_of(present, 50.0).lefts(50.0)[0] == pytest.approx(80.0)
    assert crowd_of(present, 60.0).lefts(60.0)[0] == pytest.approx(70.0)
    assert count(present, 131.0) == [0, 0]
    four = replace(share, sessions=4)  # 25, 75, 125 and 175 steps left
    present.hear(told(four), 0.0)
    assert [count(present, now_s)[0] for now_s in (0.0, 30.0, 80.0, 130.0, 180.0)] == [
        4,
        3,
        2,
        1,
        0,
    ]


def test_a_session_is_told_with_its_steps_as_they_are_and_goes_on_past_its_expected_end() -> None:
    present = Present()
    present.begin(1, [hop("A")], steps=20)
    for i in range(41):
        present.step(1, 0.4 * i)
    (share,) = present.shares()
    assert share.step_s == pytest.approx(0.4)
    assert share.alone_s == pytest.approx(0.11)
    assert share.steps == 10.0


def see(present: Present, number: int, peer: str, took_s: float, *, times: int = 20) -> float:
    """So many steps, one after another; when the last one ended."""
    now_s = 0.0
    for _ in range(times):
        now_s += took_s
        present.hop(number, peer, took_s, now_s)
    return now_s


def test_a_wait_that_nobody_explains_is_strangers_who_fade_when_it_is_seen_no_more() -> None:
    present = Present()
    present.begin(1, [hop("A")], steps=40)
    now_s = see(present, 1, "A", 0.11 + 0.32)
    noise_s = NOISE * 0.11
    seen = present.waits(now_s, stranger_steps=50.0)["A"]
    assert seen.seen_s == pytest.approx(0.32)
    assert crowd_of(present, now_s, without=1).wait_s(now_s)[0] == pytest.approx(
        0.32 - noise_s, rel=0.01
    )
    assert crowd_of(present, now_s).wait_s(now_s)[1] == 0.0
    present.end(1)
    faded = crowd_of(present, now_s + HALF_S).wait_s(now_s + HALF_S)[0]
    assert faded == pytest.approx((0.32 - noise_s) / 2, rel=0.01)
    assert count(present, now_s + 6 * HALF_S) == [0, 0]


def test_a_wait_that_own_and_published_sessions_explain_is_nobody_elses() -> None:
    for published in (False, True):
        present = Present()
        present.begin(1, [hop("A")], steps=400)
        if published:
            share = Share(peer="A", sessions=1, work_s=0.08, alone_s=0.11, step_s=0.11, steps=400.0)
            present.hear(told(share), 0.0)
        else:
            present.begin(2, [hop("A")], steps=400)
        now_s = see(present, 1, "A", 2 * 0.08)  # two who fall into step with each other
        assert count(present, now_s) == [2, 0]


def test_times_that_cannot_be_told_from_noise_are_no_stranger() -> None:
    present = Present()
    present.begin(1, [hop("A")], steps=40)
    now_s = see(present, 1, "A", 0.11 * (1 + 0.9 * NOISE))
    assert count(present, now_s, without=1) == [0, 0]
    now_s = see(present, 1, "A", 0.09)  # faster than said
    assert count(present, now_s, without=1) == [0, 0]


def test_hops_of_sessions_and_servers_that_are_not_known_say_nothing() -> None:
    present = Present()
    present.hop(1, "A", 9.0, 0.0)
    present.begin(1, [hop("A", 0, 2), hop("B", 2, 4), hop("A", 4, 8)], steps=40)
    present.hop(1, "C", 9.0, 0.0)
    present.hop(1, "A", 9.0, 0.0)  # which of the two?
    assert {w.seen_s for w in present.waits(0.0, stranger_steps=50.0).values()} == {None}


@given(st.floats(1e-3, 3.0), st.floats(1e-3, 1.0))
def test_strangers_make_one_wait_as_long_as_was_seen(wait_s: float, work_s: float) -> None:
    number, pace = strangers(wait_s, work_s, 50.0, 0.0)
    assert 1 <= number <= MOST_STRANGERS
    assert pace.alone_s >= work_s * (1 - 1e-9)
    crowd = Crowd(np.array([True]))
    for session in range(number):
        crowd.join(session, [0], pace)
    wanted = min(wait_s, MOST_STRANGERS * work_s)
    assert crowd.wait_s(0.0)[0] == pytest.approx(wanted, rel=1e-6)


@given(st.floats(-1, 5), st.floats(0, 5), st.floats(0, 1))
def test_what_is_unexplained_is_never_negative_nor_more_than_the_wait(
    wait_s: float, explained_s: float, alone_s: float
) -> None:
    left = unexplained_s(Sample(wait_s, explained_s, alone_s, 0.1))
    assert 0.0 <= left <= max(0.0, wait_s)
