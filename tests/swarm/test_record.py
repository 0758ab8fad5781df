"""Published plans: what is accepted, what is refused."""

from __future__ import annotations

import json
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.api import plan
from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios.planfile import plan_document
from swarmplan.scenarios.scenario import Scenario, load_scenario
from swarmplan.swarm.record import (
    Acceptor,
    RefusedPlanError,
    read_record,
    record_of,
)

SCENARIO = load_scenario(Path(__file__).resolve().parents[2] / "scenarios" / "tiny.toml")
MADE = plan(SCENARIO.problem, "cg-bp")
NOW = 1_000_000.0


def packed(version: int = 1, *, valid_s: float = 100.0, prefix: str = "p", **more: Any) -> bytes:
    document = {**plan_document(MADE, SCENARIO), **more}
    return record_of(SCENARIO, document, prefix=prefix, version=version, now_s=NOW, valid_s=valid_s)


def test_a_record_carries_plan_and_scenario() -> None:
    live = read_record(packed(), prefix="p", now_s=NOW + 1)
    names = [s.id for s in SCENARIO.problem.servers]
    for j, name in enumerate(names):
        span = (int(MADE.placement.start[j]), int(MADE.placement.end[j]))
        assert live.spans.get(name, (0, 0)) == span
    assert live.problem.network.client_rtt_s == pytest.approx(SCENARIO.problem.network.client_rtt_s)
    assert live.router == MADE.router


def test_expired_foreign_and_future_records_are_refused() -> None:
    for prefix, now_s, words in (
        ("p", NOW + 101, "expired"),
        ("q", NOW, "is for 'p', this is 'q'"),
        ("p", NOW - 3600, "future"),
    ):
        with pytest.raises(RefusedPlanError, match=words):
            read_record(packed(), prefix=prefix, now_s=now_s)


def test_a_plan_that_leaves_blocks_unserved_is_refused() -> None:
    placement = plan_document(MADE, SCENARIO)["placement"]
    bare = [{**entry, "start_block": 0, "end_block": 0} for entry in placement]
    with pytest.raises(RefusedPlanError, match="no server hosts it"):
        read_record(packed(placement=bare), prefix="p", now_s=NOW)


@given(st.binary(max_size=300) | st.text() | st.none() | st.integers())
def test_any_bytes_are_refused_and_nothing_else_happens(value: object) -> None:
    for content in (value, zlib.compress(value) if isinstance(value, bytes) else value):
        with pytest.raises(RefusedPlanError):
            read_record(content, prefix="p", now_s=NOW)


def test_a_bomb_is_refused_before_it_grows() -> None:
    with pytest.raises(RefusedPlanError, match="too large"):
        read_record(zlib.compress(b"0" * (40 << 20), 9), prefix="p", now_s=NOW)


@given(st.dictionaries(st.sampled_from(["version", "issued_s", "plan", "moves"]), st.integers()))
def test_a_changed_field_makes_another_record_or_a_refusal(changes: dict[str, int]) -> None:
    document = json.loads(zlib.decompress(packed()))
    changed = zlib.compress(json.dumps({**document, **changes}).encode())
    try:
        live = read_record(changed, prefix="p", now_s=NOW)
    except RefusedPlanError:
        return
    assert live.version == changes.get("version", 1)


def test_older_and_doubled_versions_are_refused_also_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    first = Acceptor("p", state)
    assert first.offer(packed(5), NOW)
    assert not first.offer(packed(5), NOW)
    assert not first.offer(packed(4), NOW)
    assert not first.offer(packed(5, valid_s=200.0), NOW)
    again = Acceptor("p", state)
    assert not again.offer(packed(4), NOW)
    assert not again.offer(packed(5, valid_s=200.0), NOW)
    assert again.offer(packed(5), NOW)
    assert again.offer(packed(6), NOW)
    assert again.current(NOW) is not None
    assert again.current(NOW + 1_000) is None


def test_a_new_key_starts_anew_and_the_old_one_is_remembered(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    assert Acceptor("p", state, "one").offer(packed(5), NOW)
    assert Acceptor("p", state, "two").offer(packed(3), NOW)
    assert not Acceptor("p", state, "one").offer(packed(4), NOW)
    assert not Acceptor("p", state, "two").offer(packed(2), NOW)


#: Under which a state file remembers operator "one" of swarm "p", and what is no memory.
NAME = "p " + sha256(b"one").hexdigest()[:16]
ABSURD: list[Any] = [
    None,
    7,
    [],
    {"version": 10**30, "digest": ""},
    {"version": -1, "digest": ""},
    {"version": True, "digest": ""},
    {"version": 1e300, "digest": ""},
    {"version": 7, "digest": 7},
    {"version": "7", "digest": ""},
]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b"1" * (2 << 20),
        *(json.dumps({NAME: entry}).encode() for entry in ABSURD),
    ],
)
def test_a_damaged_or_absurd_state_counts_as_none(content: bytes, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_bytes(content)
    assert Acceptor("p", state, "one").offer(packed(1), NOW)
    assert not Acceptor("p", state, "one").offer(packed(1, valid_s=50.0), NOW)


def test_a_plan_for_a_shorter_time_ends_one_for_a_longer(tmp_path: Path) -> None:
    follower = Acceptor("p", tmp_path / "state.json")
    long, short = packed(1, valid_s=1_000.0), packed(2, valid_s=10.0)
    assert follower.offer(long, NOW)
    assert follower.offer(short, NOW + 1)
    assert follower.current(NOW + 11) is None
    assert not follower.offer(long, NOW + 12)
    # Also for whoever comes when it is over already.
    late = Acceptor("p", tmp_path / "late.json")
    assert late.offer(long, NOW)
    assert not late.offer(short, NOW + 11)
    assert late.current(NOW + 11) is None
    assert not Acceptor("p", tmp_path / "late.json").offer(long, NOW + 12)


def forged(**changes: Any) -> bytes:
    """A record as its signer alone could make it."""
    document = json.loads(zlib.decompress(packed()))
    return zlib.compress(json.dumps({**document, **changes}).encode())


DOCUMENT = json.loads(zlib.decompress(packed()))
PLAN = DOCUMENT["plan"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": -1}, "its version is -1"),
        ({"version": 0}, "its version is 0"),
        ({"version": 2**63}, "its version is"),
        ({"expires_s": 1e300}, "no time or for more than 31 days"),
        ({"issued_s": -1.0}, "absurd times"),
        ({"issued_s": NOW + 50, "expires_s": NOW + 20}, "no time or for more than 31 days"),
        ({"plan": {**PLAN, "placement": PLAN["placement"] * 2}}, "is placed twice"),
        ({"plan": {**PLAN, "router": "nowhere"}}, "no router 'nowhere'"),
        ({"moves": [{"peer": "fast-0"}] * 2}, "moves a server twice"),
        ({"moves": [{"peer": "nobody"}]}, "or an unknown one"),
        ({"moves": [{"peer": "fast-0", "dark": [99]}]}, "that the model has not"),
    ],
)
def test_signed_but_absurd_figures_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedPlanError, match=words):
        read_record(forged(**changes), prefix="p", now_s=NOW)


def test_what_would_be_refused_is_not_published() -> None:
    for version, valid_s in ((-1, 9.0), (1, 1e9), (1, -1.0)):
        with pytest.raises(ScenarioError):
            packed(version, valid_s=valid_s)


def test_a_scenario_that_refers_to_files_is_not_published(tmp_path: Path) -> None:
    names = ["me", "fast-0", "fast-1", "slow-0", "slow-1"]
    rows = [f"{one}," + ",".join("0" if one == x else "9" for x in names) for one in names]
    (tmp_path / "rtt.csv").write_text("\n".join(["," + ",".join(names), *rows]) + "\n")
    head, _, tail = SCENARIO.path.read_text().partition("# Rows and columns")
    path = tmp_path / "other.toml"
    path.write_text(head + 'rtt_csv = "rtt.csv"\n' + tail.partition("\n]\n")[2])
    scenario = load_scenario(path)
    document = plan_document(plan(scenario.problem, "cg-bp"), scenario)
    with pytest.raises(ScenarioError, match="refers to a file"):
        record_of(scenario, document, prefix="p", version=1, now_s=NOW, valid_s=9.0)


def test_the_scenario_of_these_tests_is_the_shipped_one() -> None:
    assert isinstance(SCENARIO, Scenario)
