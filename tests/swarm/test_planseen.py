"""The plan as somebody sees it who only looks."""

from __future__ import annotations

from swarmplan.scenarios.check import longest_session_tokens
from swarmplan.swarm.planseen import plan_seen

from .test_record import NOW, SCENARIO, packed


def test_a_plan_in_force_is_seen_with_its_spans_and_sessions() -> None:
    seen = plan_seen(packed(5), "p", NOW + 60)
    assert (seen.standing, seen.version) == ("in force", 5)
    assert (seen.issued_s, seen.expires_s) == (NOW, NOW + 100)
    assert seen.spans
    assert seen.session_tokens == longest_session_tokens(SCENARIO.problem)


def test_what_is_not_in_force_is_seen_as_that() -> None:
    assert plan_seen(None, "p", NOW).standing == "none"
    assert plan_seen(packed(), "p", NOW + 101).standing == "expired"
    other = plan_seen(packed(), "other", NOW)
    assert (other.standing, "is for 'p'" in other.reason) == ("refused", True)
    assert plan_seen(b"nonsense", "p", NOW).standing == "refused"
