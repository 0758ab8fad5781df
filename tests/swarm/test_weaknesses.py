"""Weak settings are told, each with what to do; sound ones are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swarmplan.swarm.announce import Announcement
from swarmplan.swarm.planseen import PlanSeen
from swarmplan.swarm.weaknesses import (
    Weakness,
    in_order,
    of_files,
    of_monitor,
    of_plan,
    of_servers,
)

from .looks import NOW_S, plan_of, server, stated

SOUND = [server(i, 0, 16, stated=stated(16, operator="mine")) for i in range(3)]
PLAN = plan_of(SOUND, session_tokens=1_000)


def told(servers: list[Announcement], **more: Any) -> list[str]:
    plan = more.pop("plan", PLAN)
    found = of_servers(servers, plan, operator="mine", grouped=True, **more)
    return [w.found for w in found]


def with_stated(entry: Announcement, **more: Any) -> Announcement:
    assert entry.stated is not None
    return replace(entry, stated=replace(entry.stated, **more))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    path = tmp_path / "key"
    path.write_text("secret")
    path.chmod(0o600)
    return path


def test_a_sound_swarm_has_no_weakness() -> None:
    assert told(SOUND) == []
    assert list(of_plan(PLAN, NOW_S)) == []
    assert list(of_monitor("https://health.example/api/v1/state")) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_key_that_others_can_read_is_weak(key: Path, mode: int) -> None:
    assert list(of_files([key], None)) == []
    key.chmod(mode)
    (found,) = of_files([key], None)
    assert "others can read it" in found.found
    assert f"chmod 600 {key}" in found.advice


def test_a_key_in_a_folder_of_others_and_a_missing_key_are_told(key: Path) -> None:
    key.parent.chmod(0o777)
    assert [w.found for w in of_files([key], None)] == ["others can put another in its place"]
    key.parent.chmod(0o1777)  # as /tmp: only the owner may replace
    assert list(of_files([key], None)) == []
    missing = key.with_name("none")
    assert "cannot be read" in next(iter(of_files([missing], None))).found


def test_one_key_for_two_purposes_is_weak(key: Path) -> None:
    copy = key.with_name("clients")
    copy.write_bytes(key.read_bytes())
    copy.chmod(0o600)
    assert [w.found for w in of_files([key, copy], None)] == [f"the same key as {key}"]
    assert list(of_files([key, key], None)) == []


def test_a_state_that_others_can_write_is_weak(key: Path) -> None:
    state = key.with_name("plan.state")
    assert list(of_files([], state)) == []
    state.write_text("{}")
    state.chmod(0o644)
    assert list(of_files([], state)) == []
    state.chmod(0o666)
    assert "others can write it" in next(iter(of_files([], state))).found


@pytest.mark.parametrize(
    ("address", "weak"),
    [
        ("http://health.example/api/v1/state", True),
        ("http://127.0.0.1.example/", True),
        ("http://127.0.0.1:8000/state", False),
        ("http://localhost/state", False),
        ("http://[bad/", False),
        ("state.json", False),
        (None, False),
    ],
)
def test_a_monitor_without_tls_is_weak(address: str | None, weak: bool) -> None:
    assert bool(list(of_monitor(address))) is weak


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (PlanSeen(), "no trusted key"),
        (PlanSeen(standing="none"), "none"),
        (PlanSeen(standing="expired", version=1), "expired"),
        (PlanSeen(standing="refused", reason="unsound"), "refused: unsound"),
        (plan_of(SOUND, expires_s=NOW_S + 30 * 86_400), "in force for 30 days"),
        (plan_of(SOUND, expires_s=NOW_S + 600), "ends in 10 min"),
    ],
)
def test_a_plan_that_is_missing_ends_soon_or_lasts_long_is_weak(plan: PlanSeen, words: str) -> None:
    (found,) = of_plan(plan, NOW_S)
    assert words in found.found


def test_servers_without_the_plugin_are_weak_unless_a_monitor_was_asked() -> None:
    plain = [*SOUND[:2], server(3, 0, 16)]
    (found,) = told(plain)
    assert found.startswith("1 of 3 without the plugin")
    assert "server-3" in found
    assert told(plain, asked=False) == []


def test_followers_of_nobody_or_of_somebody_else_are_weak() -> None:
    found = told(
        [SOUND[0], with_stated(SOUND[1], operator=""), with_stated(SOUND[2], operator="x")]
    )
    assert [w.split(" (")[0] for w in found] == [
        "1 of 3 follow nobody's plan",
        "1 of 3 follow another operator's plans",
    ]


def test_planned_sessions_beyond_limits_or_cache_are_weak() -> None:
    longer = plan_of(SOUND, session_tokens=9_000)
    assert told(SOUND, plan=longer)[0].startswith("3 of 3 refuse sessions of the 9000 tokens")
    small = [with_stated(s, cache_tokens=2 * 16 * 999) for s in SOUND]
    (found,) = told(small)
    assert found.startswith("3 of 3 have too little cache for one session of 1000 tokens")
    assert told([with_stated(s, cache_tokens=2 * 16 * 1_000) for s in SOUND]) == []
    # Plain servers were told nothing: PETALS' own default counts.
    plain = [server(0, 0, 16)]
    assert told(plain, plan=longer, asked=False)[0].startswith("1 refuse sessions")
    assert told(plain, asked=False) == []


@pytest.mark.parametrize(
    ("version", "weak"),
    [
        ("2.2.0.post1", False),
        ("2.2.0", False),
        ("2.3.0.dev2", False),
        ("10.0", False),
        ("2.1.9", True),
        ("1.9.0.dev3", True),
        ("", True),
        ("nonsense", True),
    ],
)
def test_old_versions_are_weak(version: str, weak: bool) -> None:
    found = told([replace(SOUND[0], version=version), *SOUND[1:]])
    assert bool(found) is weak


def test_who_alone_lacks_what_all_others_can_is_weak() -> None:
    able = frozenset({"server-push"})
    others = [with_stated(s, abilities=able) for s in SOUND[:2]]
    assert told([*others, SOUND[2]]) == ["1 of 3 alone without server-push (server-2)"]
    assert told([others[0], *SOUND[1:]]) == []  # two lack it: no rule is broken
    assert told([others[0], SOUND[2]]) == []


def test_servers_that_are_not_online_do_not_count() -> None:
    assert told([*SOUND, server(3, 0, 16, state="joining", version="1.0")]) == []


def test_of_very_many_some_are_named() -> None:
    many = [server(i, 0, 16) for i in range(8)]
    (found,) = told(many)
    assert found.startswith("8 of 8 without")
    assert "and 3 more" in found


def test_each_is_told_once() -> None:
    one = Weakness(what="a", found="b", advice="c")
    assert in_order([one, one]) == (one,)
