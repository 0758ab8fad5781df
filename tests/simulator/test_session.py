"""The arithmetic of a session's progress."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.simulator.session import Segment


@given(
    st.floats(0, 1e5),
    st.floats(0, 100),
    st.one_of(st.just(0.0), st.floats(1e-6, 10)),
    st.integers(1, 500),
    st.floats(0, 1),
)
def test_tokens_made_are_exactly_those_whose_instant_has_come(
    begin: float, lead: float, step: float, tokens: int, share: float
) -> None:
    segment = Segment(begin, lead, step, tokens)
    now = begin + share * 1.1 * (segment.finish_s - begin)
    made = segment.made_by(now)
    assert 0 <= made <= tokens
    assert made == 0 or segment.token_at_s(made) <= now
    assert made == tokens or segment.token_at_s(made + 1) > now
    assert segment.made_by(segment.finish_s) == tokens


def test_the_first_token_comes_with_the_lead_and_the_others_follow_in_steps() -> None:
    segment = Segment(10.0, 2.0, 0.5, 5)
    assert segment.token_at_s(1) == 12.0
    assert segment.finish_s == 14.0
    assert [segment.made_by(t) for t in (11.9, 12.0, 12.6, 13.9, 20.0)] == [0, 1, 2, 4, 5]


def test_a_segment_of_one_token_ends_with_its_lead() -> None:
    assert Segment(1.0, 0.25, 9.0, 1).finish_s == pytest.approx(1.25)
